"""The widgets' scripts and styles, which npm builds of `labextension/`. A clone without them works all the same."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"

NOT_BUILT = "What runs in the browser is not built in this clone of taskfc_ext: run `make frontend` and start anew."


def script(name: str, folder: Path = STATIC) -> Path | str:
    """Return the module of a widget; in its place one that says what is missing."""
    path = folder / f"{name}.js"
    return path if path.is_file() else f'export default {{\n  render: ({{ el }}) => el.append("{NOT_BUILT}")\n}};\n'


def style(name: str, folder: Path = STATIC) -> Path | str:
    """Return the style sheet of a widget; in its place an empty one."""
    path = folder / f"{name}.css"
    return path if path.is_file() else "\n"
