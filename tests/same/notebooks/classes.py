# %% [markdown]
# A small model of a library, over several cells, and changed on the way.

# %%
import abc
import enum
import functools
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, NamedTuple


# %%
class Kind(enum.Enum):
    NOVEL = "novel"
    ATLAS = "atlas"

    @property
    def days(self):
        return loan_days[self]


loan_days = {Kind.NOVEL: 28, Kind.ATLAS: 7}


# %%
@dataclass(order=True)
class Item:
    title: str
    kind: Kind = Kind.NOVEL
    tags: list = field(default_factory=list)
    count: ClassVar[int] = 0

    def __post_init__(self):
        Item.count += 1


# %%
items = [Item("Emma"), Item("The World", Kind.ATLAS, ["maps"])]
items

# %%
Item.count, [item.kind.days for item in items]

# %%
items[0].tags.append("english")
items[0].kind is Kind.NOVEL, asdict(items[0])


# %%
class Account(abc.ABC):
    fee = 0.1

    def __init__(self, name):
        self.name = name
        self.late = 0

    @abc.abstractmethod
    def owes(self): ...

    @property
    def is_clear(self):
        return self.owes() == 0

    def __repr__(self):
        return f"{type(self).__name__}({self.name})"


class Adult(Account):
    def owes(self):
        return round(self.late * self.fee, 2)


class Child(Adult):
    def owes(self):
        return min(super().owes(), 1.0)


# %%
ada, bob = Adult("Ada"), Child("Bob")
ada.late = bob.late = 25
[account.owes() for account in (ada, bob)], ada.is_clear

# %%
Account.fee = 0.2
ada.owes()

# %%
isinstance(bob, Adult), type(items[1]) is Item, bob

# %%
Account("nobody")


# %%
class Adult(Account):
    """The second edition."""

    def owes(self):
        return 2 * self.late * self.fee


ada.owes(), Adult("Eve").owes(), isinstance(ada, Adult)


# %%
class Shelf:
    def __init__(self, items):
        self.items = sorted(items)

    def __iter__(self):
        yield from self.items

    def __len__(self):
        return len(self.items)

    @functools.cached_property
    def longest(self):
        return max(self.items, key=lambda item: len(item.title))

    @classmethod
    def of(cls, *titles):
        return cls(map(Item, titles))


shelf = Shelf.of("Persuasion", "Emma")
[item.title for item in shelf]

# %%
shelf.longest, len(shelf), Item.count


# %%
class Place(NamedTuple):
    row: int
    column: int = 0


class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2


Place(3)._replace(column=4), Level.LOW | Level.HIGH

# %%
moved = replace(items[1], title="The Sky")
moved > items[1], moved == replace(moved), Level(2) is Level.HIGH


# %%
def describe(self):
    return f"{self.title} ({self.kind.value})"


Item.describe = describe
items[1].describe()

# %%
moved.describe()
