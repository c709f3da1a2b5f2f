"""Put a configuration into the form that a factory takes: class, instance, name or file.

The other values of the app's own configuration are kept.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import json
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from flask import Config
from werkzeug.utils import import_string

MODULE = "testbed_configuration"
_kept: list[Any] = []
"""Values of written files that are no literals."""


class UnreadableConfigurationError(Exception):
    """A configuration file cannot be read; the message says why."""


def values_of(file: str) -> dict[str, Any]:
    """Return the values of a configuration file, as Flask loads it.

    Args:
        file: Its full path: JSON or TOML by its suffix, else Python.

    Raises:
        UnreadableConfigurationError: It cannot be read.
    """
    config = Config(Path(file).parent)
    try:
        if Path(file).suffix in _LOADERS:
            config.from_file(file, _LOADERS[Path(file).suffix], text=False)
        else:
            config.from_pyfile(file)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise UnreadableConfigurationError(message) from error
    return dict(config)


def merged(base: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of both; those of `mapping` win, also inside of nested mappings.

    Args:
        base: The app's own values.
        mapping: The values of the run.
    """
    inner = {
        name: merged(base[name], value)
        for name, value in mapping.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **mapping, **inner}


def config_class(base: object, mapping: Mapping[str, Any]) -> type:
    """Return a class for `app.config.from_object`, with the values in lower-case attributes too.

    Args:
        base: the app's own class, module or instance, whose other values are kept; None for none.
        mapping: the values.
    """
    values = merged({name: getattr(base, name, None) for name in mapping if hasattr(base, name)}, mapping)
    attributes = {**values, **{name.lower(): value for name, value in values.items()}}
    if isinstance(base, ModuleType):
        attributes = {**{name: value for name, value in vars(base).items() if name.isupper()}, **attributes}
    return type("Configuration", (base,) if isinstance(base, type) else (), attributes)


def config_instance(base: object, mapping: Mapping[str, Any]) -> Any:
    """Return an object like `base`, a class or an instance of one, with the values as attributes.

    Args:
        base: the app's own configuration.
        mapping: the values.
    """
    made = base() if isinstance(base, type) else copy.copy(base)
    for name, value in vars(config_class(made, mapping)).items():
        if not name.startswith("__"):
            # The class may be frozen.
            object.__setattr__(made, name, value)
    return made


def with_class_name(default: object, mapping: Mapping[str, Any], call: Callable[[str], Any]) -> Any:
    """Call with the import name of a configuration class, which exists during the call.

    Args:
        default: the factory's own default; the class or module that it names is the base.
        mapping: the values.
        call: it gets the name; its result is returned.
    """
    try:
        return call(named_class(default, mapping))
    finally:
        del sys.modules[MODULE]


def named_class(default: object, mapping: Mapping[str, Any]) -> str:
    """Make a configuration class that can be imported in this process, and return its import name.

    Args:
        default: the name of the class or module that is the base; it need not exist.
        mapping: the values.
    """
    base = import_string(default, silent=True) if isinstance(default, str) and default else None
    module = ModuleType(MODULE)
    vars(module)["Configuration"] = config_class(base, mapping)
    sys.modules[MODULE] = module
    return f"{MODULE}.Configuration"


def with_file(default: object, mapping: Mapping[str, Any], call: Callable[[str | Path], Any]) -> Any:
    """Call with a configuration file, which is removed after the call: it may hold a password.

    Args:
        default: the factory's own default, which decides on the format (.cfg, .json, .toml) and on the type;
            the values of that file are kept, if it is in the working directory.
        mapping: the values.
        call: it gets the path; its result is returned.
    """
    base = str(default) if isinstance(default, (str, PurePath)) else ""
    with tempfile.TemporaryDirectory(prefix="testbed-") as directory:
        path = write_file(base, mapping, Path(directory, "configuration"))
        return call(path if isinstance(default, PurePath) else str(path))


def write_file(base: str, mapping: Mapping[str, Any], path: Path) -> Path:
    """Write a configuration file, and return its path.

    Args:
        base: The path of another file, whose format is used and whose other values are kept; it need not
            exist.
        mapping: The values.
        path: The path without a suffix.
    """
    suffix = PurePath(base).suffix or ".cfg"
    if suffix in _WRITERS:
        own = values_of(str(Path(base).absolute())) if Path(base).is_file() else {}
        text = _WRITERS[suffix](merged(own, mapping))
    else:
        own_text = Path(base).read_text(encoding="utf-8") if base and Path(base).is_file() else ""
        text = f"{own_text}\n{_as_python(mapping)}"
    path = path.with_name(f"{path.name}{suffix}")
    path.write_text(text, encoding="utf-8")
    return path


def _as_python(mapping: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_python_value(value)}\n" for name, value in mapping.items())


def _python_value(value: Any) -> str:
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        if ast.literal_eval(repr(value)) == value:
            return repr(value)
    # It cannot be written, but this process also reads the file.
    _kept.append(value)
    return f"__import__('sys').modules[{__name__!r}]._kept[{len(_kept) - 1}]"


def _as_toml(mapping: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_toml_value(value)}\n" for name, value in mapping.items() if value is not None)


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            f"{{{', '.join(f'{json.dumps(name)} = {_toml_value(inner)}' for name, inner in value.items())}}}"
        )
    return json.dumps(value, default=str)


_LOADERS: dict[str, Callable[[Any], Mapping[str, Any]]] = {".json": json.load, ".toml": tomllib.load}
_WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    ".json": lambda mapping: json.dumps(mapping, default=str),
    ".toml": _as_toml,
}
