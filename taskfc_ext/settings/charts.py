"""Settings of matplotlib, altair, plotly and bokeh. None of them is imported here."""

from __future__ import annotations

import functools
import sys
from typing import Any

from taskfc_ext.serialize.scope import ABSENT
from taskfc_ext.settings.setting import Items, Setting, Value

_modules: dict[str, Any] = sys.modules  # for attributes of modules that may not be installed

_SCREEN = ("backend", "interactive", "toolbar", "webagg.", "tk.", "macosx.", "savefig.directory", "figure.raise_window")
"""Prefixes of the rcParams for the user's own screen, which are not sent."""


class _LiveParams:
    """`rcParams` for comparison with a dict. Its own methods validate, which takes 100 times as long."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return bool(dict.__eq__(_modules["matplotlib"].rcParams, other))


_live_params = _LiveParams()


def _params() -> dict[str, Any]:
    return dict(dict.items(_modules["matplotlib"].rcParams))


class _Params(Items):
    def take(self) -> dict[str, Any]:
        return _params()


def _write_params(value: Any) -> None:
    now: Any = _modules["matplotlib"].rcParams
    backend = value.get("backend")
    if dict.get(now, "backend") != backend and "matplotlib.pyplot" in sys.modules and isinstance(backend, str):
        _modules["matplotlib.pyplot"].switch_backend(backend)
    _set_params({name: param for name, param in value.items() if dict.get(now, name, ABSENT) is not param})


def _set_params(params: Any) -> None:
    now: Any = _modules["matplotlib"].rcParams
    for name, param in params.items():
        if name in now:
            dict.__setitem__(now, name, param)  # validated when it was first set; another validation may warn


def _pack_params() -> Any:
    usual = _modules["matplotlib"].rcParamsDefault
    found = {
        name: param
        for name, param in _params().items()
        if not name.startswith(_SCREEN) and dict.get(usual, name, ABSENT) != param
    }
    return found or None


def _close_figures(value: object) -> None:
    if "matplotlib.pyplot" in sys.modules:
        _modules["matplotlib.pyplot"].close("all")


# altair


def _registries() -> list[tuple[str, Any]]:
    altair = _modules["altair"]
    themes = altair.theme if hasattr(altair, "theme") and hasattr(altair.theme, "enable") else altair.themes
    return [("theme", themes), ("renderers", altair.renderers), ("data_transformers", altair.data_transformers)]


def _read_choices() -> Any:
    """Return the names of the active choices and their options. To read them by the public interface costs 10 us."""
    states = [vars(registry) for registry in _objects_of_altair()]
    return [(state.get("_active_name"), dict(state.get("_options") or ())) for state in states]


@functools.cache
def _objects_of_altair() -> list[Any]:
    return [getattr(registry, "_themes", registry) for _, registry in _registries()]


def _read_altair() -> Any:
    return [(registry.active, dict(registry.options)) for _, registry in _registries()]


def _write_altair(value: Any) -> None:
    for (_, registry), (active, options) in zip(_registries(), value, strict=True):
        if active and (registry.active, dict(registry.options)) != (active, options):
            registry.enable(active, **options)


def _pack_altair() -> Any:
    found = {}
    for kind, registry in _registries():
        active, options = registry.active, dict(registry.options)
        if active not in ("", "default") or options:
            plugin = registry.get()
            is_own = getattr(getattr(plugin, "func", plugin), "__module__", "altair").partition(".")[0] != "altair"
            found[kind] = active, options, plugin if is_own and not options else None
    return found or None


def _unpack_altair(packed: Any) -> None:
    for kind, registry in _registries():
        if kind in packed:
            active, options, plugin = packed[kind]
            if plugin is not None:
                registry.register(active, plugin) if kind != "theme" else _register_theme(registry, active, plugin)
            registry.enable(active, **options)


def _register_theme(registry: Any, name: str, theme: Any) -> None:
    if hasattr(registry, "unregister"):  # altair.theme, whose `register` is a decorator
        registry.register(name, enable=True)(theme)
    else:
        registry.register(name, theme)


# plotly


_TEMPLATES = frozenset(
    [
        "ggplot2",
        "seaborn",
        "simple_white",
        "plotly",
        "plotly_white",
        "plotly_dark",
        "presentation",
        "xgridoff",
        "ygridoff",
        "gridon",
        "none",
    ]
)


@functools.cache
def _objects_of_plotly() -> tuple[Any, Any]:
    return _modules["plotly.io"].templates, _modules["plotly.io"].renderers  # to look them up costs 8 us


def _read_plotly() -> Any:
    templates, renderers = _objects_of_plotly()
    return templates.default, renderers.default


def _write_plotly(value: Any) -> None:
    io = _modules["plotly.io"]
    io.templates.default, io.renderers.default = value


def _pack_plotly() -> Any:
    template, renderer = _read_plotly()
    io = _modules["plotly.io"]
    own = [name for name in (template or "").split("+") if name and name not in _TEMPLATES and name in io.templates]
    if _opens_a_window(renderer):
        renderer = None
    return template, renderer, {name: io.templates[name].to_plotly_json() for name in own}


def _unpack_plotly(packed: Any) -> None:
    template, renderer, own = packed
    io = _modules["plotly.io"]
    for name, body in own.items():
        io.templates[name] = body
    _write_plotly((template, io.renderers.default if renderer is None else renderer))


def _opens_a_window(renderer: str | None) -> bool:
    """Return whether a renderer opens a program such as a browser, which a worker cannot: it has no screen."""
    known = _modules["plotly.io"].renderers
    parts = [name for name in (renderer or "").split("+") if name in known]
    return any(kind.__name__ == "ExternalRenderer" for name in parts for kind in type(known[name]).__mro__)


def _read_express() -> Any:
    defaults = _modules["plotly.express"].defaults
    names = getattr(type(defaults), "__slots__", None) or vars(defaults)
    return {name: getattr(defaults, name) for name in names}


def _write_express(value: Any) -> None:
    for name, default in value.items():
        setattr(_modules["plotly.express"].defaults, name, default)


# bokeh


def _read_theme() -> Any:
    return _modules["bokeh.io"].curdoc().theme


def _set_theme(theme: Any) -> None:
    _modules["bokeh.io"].curdoc().theme = theme


def _pack_bokeh() -> Any:
    theme = _read_theme()
    return None if theme is _modules["bokeh.themes"].default else theme._json


def _unpack_bokeh(packed: Any) -> None:
    _set_theme(_modules["bokeh.themes"].Theme(json=packed))


CHARTS: tuple[Setting, ...] = (
    _Params(
        name="matplotlib's rcParams and style",
        module="matplotlib",
        read=lambda: _live_params,
        write=_write_params,
        pack=_pack_params,
        unpack=_set_params,
    ),
    Value(
        name="open figures of matplotlib",
        module="matplotlib._pylab_helpers",
        read=lambda: bool(_modules["matplotlib._pylab_helpers"].Gcf.figs),
        write=_close_figures,
    ),
    Value(
        name="altair's theme, renderer and data transformer",
        module="altair",
        read=_read_choices,
        read_fully=_read_altair,
        write=_write_altair,
        pack=_pack_altair,
        unpack=_unpack_altair,
    ),
    Value(
        name="plotly's template and renderer",
        module="plotly.io",
        read=_read_plotly,
        write=_write_plotly,
        pack=_pack_plotly,
        unpack=_unpack_plotly,
    ),
    Value(
        name="defaults of `plotly.express`",
        module="plotly.express",
        read=_read_express,
        write=_write_express,
        pack=lambda: {name: value for name, value in _read_express().items() if value is not None} or None,
        unpack=_write_express,
    ),
    Value(
        name="bokeh's theme",
        module="bokeh.io",
        read=_read_theme,
        write=_set_theme,
        pack=_pack_bokeh,
        unpack=_unpack_bokeh,
    ),
)
