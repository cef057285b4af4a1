"""Write the messages of queue views as TypeScript, from the structs that Python has of them.

    python scripts/write_messages.py            writes labextension/src/link/messages.ts
    python scripts/write_messages.py --check    says whether that file is what would be written

A page reads what Python has encoded as JSON, so that a field may be absent where its struct leaves out defaults; what a
page sends may leave out every default.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

import msgspec.inspect as shapes
from generated import write_or_check

from taskfc_ext.protocol import limits, snapshots
from taskfc_ext.view import cards, messages

FILE = Path(__file__).resolve().parent.parent / "labextension" / "src" / "link" / "messages.ts"

HEAD = """\
// Messages between Python and a view of queues. Written by scripts/write_messages.py from the structs of
// taskfc_ext/view/ and taskfc_ext/protocol/: change them there, and run the script.
"""

CONSTANTS = {
    "VIEW_PROTOCOL": messages.VIEW_PROTOCOL,
    "MAX_LOG": messages.MAX_LOG,
    "MESSAGE_CHARS": snapshots.MESSAGE_CHARS,
    "MAX_IDS": limits.MAX_IDS,
    "MAX_WORKERS": limits.MAX_WORKERS,
    "FARM_NAME": limits.FARM_NAME,
    "CARD_TYPE": cards.CARD_TYPE,
    "GROUP_TYPE": cards.GROUP_TYPE,
    "CARD_VERSION": cards.CARD_VERSION,
    "OF_CARD": cards.OF_CARD,
}

TO_PAGE = {"ViewMessage": messages.ViewMessage}
ANSWERS = (messages.CommandAnswer, messages.FarmDetails, messages.Tasks, messages.TaskDetails)
SAVED = (cards.TaskCard, cards.GroupOfTasks)
FROM_PAGE = {"ViewQuestion": messages.ViewQuestion, "AnyCommand": messages.AnyCommand}

WIDTH = 116
"""Of a line of prose, without its margin."""


def write() -> str:
    """Return the text of the file."""
    parts = [HEAD, "\n".join(f"export const {name} = {_literal(value)};" for name, value in CONSTANTS.items()) + "\n"]
    asked = {cls for union in FROM_PAGE.values() for cls in union.__args__}
    roots = [*(cls for union in TO_PAGE.values() for cls in union.__args__), *ANSWERS, *SAVED, *asked]
    done: dict[type, str] = {}
    for cls in sorted(roots, key=_place):
        _declare(shapes.type_info(cls), done, asked)
    parts += done.values()
    parts += [_union(name, union.__args__) for name, union in {**TO_PAGE, **FROM_PAGE}.items()]
    return "\n".join(parts)


def _place(cls: type) -> tuple[str, int]:
    """Return where a class stands in its module, so that the file keeps the order of the source."""
    return cls.__module__, inspect.getsourcelines(cls)[1]


def _declare(shape: shapes.Type, done: dict[type, str], asked: set[type]) -> None:
    """Put the declarations that `shape` needs into `done`, each after those that it names."""
    match shape:
        case shapes.EnumType(cls) if cls not in done:
            done[cls] = _enum(cls)
        case shapes.StructType(cls, fields) if cls not in done:
            for field in fields:
                _declare(field.type, done, asked)
            done[cls] = _tuple(shape) if shape.array_like else _interface(shape, is_sent=cls in asked)
        case shapes.UnionType(types):
            for each in types:
                _declare(each, done, asked)
        case shapes.VarTupleType(item) | shapes.ListType(item):
            _declare(item, done, asked)
        case shapes.TupleType(items):
            for each in items:
                _declare(each, done, asked)
        case shapes.DictType(_, value):
            _declare(value, done, asked)


def _enum(cls: type[Enum]) -> str:
    members = "".join(f"  {member.name}: {_literal(member.value)},\n" for member in cls)
    name = cls.__name__
    return (
        f"{_comment(inspect.getdoc(cls))}export const {name} = {{\n{members}}} as const;\n"
        f"export type {name} = (typeof {name})[keyof typeof {name}];\n"
    )


def _tuple(shape: shapes.StructType) -> str:
    fields = ", ".join(
        f"{field.encode_name}{'' if field.required else '?'}: {_type(field.type)}" for field in shape.fields
    )
    return f"{_comment(inspect.getdoc(shape.cls))}export type {shape.cls.__name__} = readonly [{fields}];\n"


def _interface(shape: shapes.StructType, *, is_sent: bool) -> str:
    text, of_fields = _docs(inspect.getdoc(shape.cls) or "")
    may_be_absent = is_sent or shape.cls.__struct_config__.omit_defaults
    lines = [] if shape.tag_field is None else [f"  readonly {shape.tag_field}: {_literal(shape.tag)};\n"]
    for field in shape.fields:
        mark = "" if field.required or not may_be_absent else "?"
        lines.append(_comment(of_fields.get(field.name), "  "))
        lines.append(f"  readonly {field.encode_name}{mark}: {_type(field.type)};\n")
    return f"{_comment(text)}export interface {shape.cls.__name__} {{\n{''.join(lines)}}}\n"


def _union(name: str, members: Iterable[type]) -> str:
    return f"export type {name} = {' | '.join(cls.__name__ for cls in members)};\n"


def _type(shape: shapes.Type) -> str:
    match shape:
        case shapes.IntType() | shapes.FloatType():
            return "number"
        case shapes.StrType():
            return "string"
        case shapes.BoolType():
            return "boolean"
        case shapes.NoneType():
            return "null"
        case shapes.AnyType():
            return "unknown"
        case shapes.EnumType(cls) | shapes.StructType(cls):
            return cls.__name__
        case shapes.UnionType(types):
            return " | ".join(map(_type, types))
        case shapes.VarTupleType(item) | shapes.ListType(item):
            inner = _type(item)
            return f"readonly ({inner})[]" if "|" in inner or "[" in inner else f"readonly {inner}[]"
        case shapes.TupleType(items):
            return f"readonly [{', '.join(map(_type, items))}]"
        case shapes.DictType(key, value):
            return f"Readonly<Record<{_type(key)}, {_type(value)}>>"
    raise TypeError(f"no TypeScript is known for {shape}: teach _type() to write it")


def _literal(value: object) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _docs(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring without its list of attributes, and that list."""
    before, _, after = text.partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n      .*)*)", after, re.MULTILINE)
    return before.strip(), {name: " ".join(said.split()) for name, said in found}


def _comment(text: str | None, margin: str = "") -> str:
    if not text:
        return ""
    lines = list(_wrap(text))
    if len(lines) == 1:
        return f"{margin}/** {lines[0]} */\n"
    return f"{margin}/**\n" + "".join(f"{margin} * {line}".rstrip() + "\n" for line in lines) + f"{margin} */\n"


def _wrap(text: str) -> Iterator[str]:
    for paragraph in text.replace("*/", "* /").split("\n\n"):
        yield from textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, write(), doc=__doc__))
