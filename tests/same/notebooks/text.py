# %% [markdown]
# Words: Python's own poem and sources as a corpus.

# %%
import codecs
import contextlib
import io
import re
import string
import textwrap
from collections import Counter, defaultdict
from functools import lru_cache
from itertools import chain, groupby, islice, pairwise

# %%
with contextlib.redirect_stdout(io.StringIO()):
    import this
poem = codecs.decode(this.s, "rot13")
print(poem.splitlines()[0])

# %%
sources = {module.__name__: open(module.__file__, encoding="utf-8").read() for module in (string, textwrap)}
{name: type(source).__name__ for name, source in sources.items()}

# %%
word = re.compile(r"[A-Za-z']+")
words = word.findall(poem.lower())
counts = Counter(words)
counts.most_common(5)

# %%
counts.update(["better"] * 3)
counts["better"]


# %%
def sentences(text):
    """Yield sentences without their ends."""
    for sentence in re.split(r"[.!]\s+", text):
        if sentence.strip():
            yield sentence.strip().rstrip(".!")


# %%
lengths = [len(word.findall(sentence)) for sentence in sentences(poem)]
max(lengths), sum(lengths) == len(words)

# %%
stream = sentences(poem)
next(stream)

# %%
first_two = list(islice(sentences(poem), 2))
first_two


# %%
@lru_cache(maxsize=None)
def distance(one, other):
    """Edits from one word to the other."""
    if not one or not other:
        return len(one) + len(other)
    if one[0] == other[0]:
        return distance(one[1:], other[1:])
    return 1 + min(distance(one[1:], other), distance(one, other[1:]), distance(one[1:], other[1:]))


# %%
distance("implicit", "explicit"), distance("ugly", "beautiful")

# %%
by_letter = defaultdict(set)
for each in words:
    by_letter[each[0]].add(each)
sorted(by_letter["b"])

# %%
following = defaultdict(Counter)
for one, other in pairwise(words):
    following[one][other] += 1
following["better"].most_common(1), following["is"].total()

# %%
(longest := max(counts, key=len)), f"{longest:>20}|{len(longest):03d}"

# %%
print(textwrap.fill(poem.replace("\n", " "), 60)[:180])

# %%
match = re.search(r"(?P<adjective>\w+) is better than (?P<other>\w+)", poem)
match.groupdict(), match.span()

# %%
[(length, len(list(group))) for length, group in groupby(sorted(map(len, counts)))][:6]

# %%
poem.encode("ascii").decode("utf-16")

# %%
"".join(chain.from_iterable(zip(string.ascii_lowercase, string.digits)))

# %%
re.sub(r"\b(\w)(\w*)", lambda found: found[1].upper() + found[2], first_two[1])
