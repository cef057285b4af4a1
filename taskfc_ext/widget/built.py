"""The scripts and styles of the widgets, built by npm from `labextension/`. Everything else works without them."""

from __future__ import annotations

from pathlib import Path

STATIC = Path(__file__).parent / "static"

NOT_BUILT = "This clone of taskfc_ext has no built front end: run `make frontend`, then restart the kernel."


def script(name: str, folder: Path = STATIC) -> Path | str:
    """Return the module of a widget; if it is missing, a module that says so."""
    path = folder / f"{name}.js"
    return path if path.is_file() else f'export default {{\n  render: ({{ el }}) => el.append("{NOT_BUILT}")\n}};\n'


def style(name: str, folder: Path = STATIC) -> Path | str:
    """Return the style sheet of a widget; if it is missing, an empty one."""
    path = folder / f"{name}.css"
    return path if path.is_file() else "\n"
