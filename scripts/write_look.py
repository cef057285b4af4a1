"""Write the look of cards as TypeScript, so that a card that a page draws looks as the saved one.

    python scripts/write_look.py            writes labextension/src/card/look.ts
    python scripts/write_look.py --check    says whether that file is what would be written

No style has a quote, and names in lower case are not written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from generated import write_or_check

from taskfc_ext.ipython.cards import look
from taskfc_ext.view.wording import ICONS

FILE = Path(__file__).resolve().parent.parent / "labextension" / "src" / "card" / "look.ts"

HEAD = """\
// The look of cards. Written by scripts/write_look.py from taskfc_ext/ipython/cards/look.py: change it there, and run
// the script.
"""


def write() -> str:
    """Return the text of the file."""
    constants = {name: value for name, value in vars(look).items() if name.isupper() and not name.startswith("_")}
    return "\n".join([HEAD, *(_constant(name, value) for name, value in {**constants, "ICONS": ICONS}.items())])


def _constant(name: str, value: object) -> str:
    kind = ": Readonly<Record<string, string>>" if isinstance(value, dict) else ""
    literal = json.dumps(value, ensure_ascii=False, indent=2).replace('"', "'")  # no style has a quote
    return f"export const {name}{kind} = {literal};\n"


if __name__ == "__main__":
    sys.exit(write_or_check(FILE, write(), doc=__doc__))
