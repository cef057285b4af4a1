# %% [markdown]
# Corners of the language that working notebooks do turn up.

# %%
import contextlib
import functools
import operator
import sys
import weakref
from math import *

# %%
scale = 2
total = 0


def times(number):
    return number * scale


def add(number):
    global total
    total += number
    return total


# %%
scale = 10
times(3)

# %%
for scale in (1, 2, 3):
    print(times(10), end=" ")

# %%
add(5)
add(6)
total

# %%
total, scale


# %%
def make_counter():
    count = 0

    def increase():
        nonlocal count
        count += 1
        return count

    def read():
        return count

    return increase, read


increase, read = make_counter()

# %%
increase()
increase()
read()

# %%
increase(), read()


# %%
def traced(function):
    calls = []

    @functools.wraps(function)
    def wrapper(*args):
        calls.append(args)
        return function(*args)

    wrapper.calls = calls
    return wrapper


@traced
def area(radius):
    return round(pi * radius**2, 3)


# %%
area(1), area(2), area.calls

# %%
area.calls


# %%
@functools.singledispatch
def kind(value):
    return "something"


@kind.register
def _(value: int):
    return "a number"


@kind.register(list)
def _(value):
    return f"a list of {kind(value[0])}"


kind(3), kind([3]), kind(None)

# %%
kind([1]), kind({})


# %%
@contextlib.contextmanager
def rescaled(factor):
    global scale
    before, scale = scale, factor
    try:
        yield times
    finally:
        scale = before


with rescaled(100) as rescaled_times:
    hundreds = rescaled_times(7)
hundreds, scale

# %%
exec("made = scale + 1\ndef made_here(): return made")
eval("made_here() * 2")

# %%
double = functools.partial(operator.mul, 2)
triple = lambda value, factor=3: value * factor
[step(5) for step in (double, triple, times, floor)]

# %%
if (many := len(str(factorial(20)))) > 10:
    print(f"{many=}")
del many
"many" in globals()


# %%
def stack(item, items=[]):
    items.append(item)
    return items


stack(1), stack(2)

# %%
stack(3)

# %%
match {"shape": "circle", "radius": 2}:
    case {"shape": "circle", "radius": radius}:
        answer = area(radius)
    case _:
        answer = None
answer

# %%
try:
    {}["missing"]
except KeyError as error:
    problem = error
    raise ValueError("no such shape") from error

# %%
try:
    times(None) + 1
except TypeError as error:
    caught = error
type(caught).__name__, str(caught)


# %%
class Missing(Exception):
    def __init__(self, name, *, where):
        super().__init__(f"{name} is not in {where}")
        self.name, self.where = name, where


# %%
raise Missing("ash", where="the table")

# %%
assert scale == 3, f"scale is {scale}"

# %%
sys.getrecursionlimit() > 500, __name__

# %%
powers = {n: (lambda x: x**n) for n in (2, 3)}
powers[2](2), [f(2) for f in [lambda x, n=n: x**n for n in (2, 3)]]

# %%
first, *middle, last = range(5)
middle += [last]
first, middle

# %%
weakref.ref(area)() is area
