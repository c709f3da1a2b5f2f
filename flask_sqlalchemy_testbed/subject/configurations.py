"""Put a configuration into the form that a factory takes: class, name or file."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from werkzeug.utils import import_string

MODULE = "testbed_configuration"


def config_class(base: object, mapping: Mapping[str, Any]) -> type:
    """Return a class for `app.config.from_object`, with the values in lower-case attributes too.

    Args:
        base: the app's own configuration class, whose other values are kept; ignored if it is no class.
        mapping: the values.
    """
    attributes = {**mapping, **{name.lower(): value for name, value in mapping.items()}}
    return type("Configuration", (base,) if isinstance(base, type) else (), attributes)


def with_class_name(default: object, mapping: Mapping[str, Any], call: Callable[[str], Any]) -> Any:
    """Call with the import name of a configuration class, which exists during the call.

    Args:
        default: the factory's own default; the class that it names is the base.
        mapping: the values.
        call: it gets the name; its result is returned.
    """
    base = import_string(default, silent=True) if isinstance(default, str) and "." in default else None
    module = ModuleType(MODULE)
    vars(module)["Configuration"] = config_class(base, mapping)
    sys.modules[MODULE] = module
    try:
        return call(f"{MODULE}.Configuration")
    finally:
        del sys.modules[MODULE]


def with_file(default: object, mapping: Mapping[str, Any], call: Callable[[str | Path], Any]) -> Any:
    """Call with a configuration file, which is removed after the call: it may hold a password.

    Args:
        default: the factory's own default, which decides on the format (.cfg, .json, .toml) and on the type.
        mapping: the values.
        call: it gets the path; its result is returned.
    """
    suffix = PurePath(default).suffix if isinstance(default, (str, PurePath)) else ""
    with tempfile.TemporaryDirectory(prefix="testbed-") as directory:
        path = Path(directory, f"configuration{suffix or '.cfg'}")
        path.write_text(_WRITERS.get(suffix, _as_python)(mapping), encoding="utf-8")
        return call(path if isinstance(default, PurePath) else str(path))


def _as_python(mapping: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {value!r}\n" for name, value in mapping.items())


def _as_toml(mapping: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_toml_value(value)}\n" for name, value in mapping.items())


def _toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            f"{{{', '.join(f'{json.dumps(name)} = {_toml_value(inner)}' for name, inner in value.items())}}}"
        )
    return json.dumps(value)


_WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {".json": json.dumps, ".toml": _as_toml}
