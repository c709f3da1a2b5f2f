"""The ways in which apps are made: each is tried only where the factory's own signature allows it."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from werkzeug.utils import import_string

# Keyword arguments that are the database's URI.
URI_ARGUMENT = re.compile(
    r"(sqlalchemy_)?(database|db)_?(uri|url)|uri|url|dsn|connection_string|SQLALCHEMY_DATABASE_URI"
)
# Arguments that are, or name, a configuration.
CONFIGURATION = re.compile(r"conf|cfg|setting|override|option|env", re.IGNORECASE)
# What a configuration for tests is called, if it has to be called something.
NAMES = ("testing", "test", "default", "development")
MODULE = "testbed_configuration"
_OF_MAPPING = re.compile(r"(Mapping|[Dd]ict)\[(?:[^\[\]]|\[[^\[\]]*\])*\]")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to make an app. `call` takes the configuration as a mapping, and the URI itself."""

    name: str
    told: str
    call: Callable[[Mapping[str, Any], str], Any]
    by_environment: bool = False
    """The URI reaches it through environment variables."""


def ways(
    factory: Callable[..., Any], arguments: tuple[Any, ...] | None, *, environment: bool
) -> Iterator[Way]:
    """In the order in which they are tried; `environment` says that the URI is in a variable in any case.

    `arguments` are those that the command line gives, if it calls the factory itself.
    """
    if arguments is not None:
        yield Way("as written", "as written", lambda *_: factory(*arguments), by_environment=True)
        return
    signature = _signature_of(factory)
    parameter = _configuration_of(signature)
    wanted = _wanted(parameter) if parameter is not None else set()
    alone = Way("nothing", "with nothing but the environment", lambda *_: factory(), by_environment=True)
    stands_alone = _fits(signature)
    if environment and stands_alone:
        yield alone
    if parameter is not None and "mapping" in wanted:
        yield Way("mapping", "with a mapping", lambda mapping, _: _put(factory, parameter, dict(mapping)))
    yield from _by_arguments(factory, signature)
    if parameter is not None:
        yield from _by_classes_and_files(factory, parameter, wanted)
    if stands_alone and not environment:
        yield alone
    if parameter is not None and "text" in wanted and not stands_alone:
        yield from (_by_name(factory, parameter, name) for name in NAMES)


def _signature_of(factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory)
    except ValueError:  # Of a callable made in C.
        return inspect.Signature()


def _fits(signature: inspect.Signature, **named: Any) -> bool:
    try:
        signature.bind(**named)
    except TypeError:
        return False
    return True


def _put(factory: Callable[..., Any], parameter: inspect.Parameter, value: Any) -> Any:
    if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
        return factory(value)
    return factory(**{parameter.name: value})


def _by_arguments(factory: Callable[..., Any], signature: inspect.Signature) -> Iterator[Way]:
    for name, it in signature.parameters.items():
        if it.kind is it.VAR_KEYWORD:
            if _fits(signature):
                yield Way("keywords", "with keyword arguments", lambda mapping, _: factory(**mapping))
        elif URI_ARGUMENT.fullmatch(name) and _fits(signature, **{name: ""}):

            def call(_: Mapping[str, Any], uri: str, name: str = name) -> Any:
                return factory(**{name: uri})

            yield Way(f"{name}=", f"with {name}=", call)


def _by_classes_and_files(
    factory: Callable[..., Any], parameter: inspect.Parameter, wanted: set[str]
) -> Iterator[Way]:
    default = _default(parameter)

    def put(value: Any) -> Any:
        return _put(factory, parameter, value)

    if "object" in wanted:
        yield Way("object", "with a config class", lambda mapping, _: put(_class(default, mapping)))
    if "text" in wanted:
        told = "with the name of a config class"
        yield Way("import name", told, lambda mapping, _: _named(default, mapping, put))
        told = "with the name of a config file"
        yield Way("file", told, lambda mapping, _: _filed(default, mapping, put))


def _by_name(factory: Callable[..., Any], parameter: inspect.Parameter, name: str) -> Way:
    return Way(name, f"with {name!r}", lambda *_: _put(factory, parameter, name), by_environment=True)


def _configuration_of(signature: inspect.Signature) -> inspect.Parameter | None:
    """The parameter that takes a configuration: the one that is called so, else the first."""
    able = [it for it in signature.parameters.values() if it.kind is not it.VAR_KEYWORD]
    for it in able:
        if CONFIGURATION.search(it.name) and _may_stand_alone(signature, it):
            return it
    first = able[0] if able else None
    if first is None or first.kind is first.KEYWORD_ONLY or URI_ARGUMENT.fullmatch(first.name):
        return None
    return first if _may_stand_alone(signature, first) else None


def _may_stand_alone(signature: inspect.Signature, parameter: inspect.Parameter) -> bool:
    required = [
        it
        for it in signature.parameters.values()
        if it.default is it.empty
        and it.kind not in {it.VAR_KEYWORD, it.VAR_POSITIONAL}
        and it is not parameter
    ]
    return not required


def _wanted(parameter: inspect.Parameter) -> set[str]:
    """Which kinds of value the parameter may take, by its default and its annotation."""
    every = {"mapping", "object", "text"}
    default = _default(parameter)
    if inspect.isclass(default):
        return {"object"}
    if isinstance(default, (str, PurePath)):
        return {"text"}
    if isinstance(default, Mapping):
        return {"mapping"}
    if isinstance(default, (bool, int, float)):
        return set()
    if parameter.annotation is parameter.empty:
        return every
    note = parameter.annotation
    name = getattr(note, "__name__", "") if inspect.isclass(note) else repr(note)
    # What a mapping holds says nothing of what it is.
    text = _OF_MAPPING.sub(r"\1", note if isinstance(note, str) else name)
    found = {
        kind
        for kind, pattern in {
            "mapping": r"Mapping|[Dd]ict\b|\bAny\b",
            "text": r"\bstr\b|Path|\bAny\b",
            "object": r"\bobject\b|[Tt]ype\[|\bAny\b|(?i:conf|setting)",
        }.items()
        if re.search(pattern, text)
    }
    return found or every


def _default(parameter: inspect.Parameter) -> Any:
    return None if parameter.default is parameter.empty else parameter.default


def _class(base: object, mapping: Mapping[str, Any]) -> type:
    """A class as `from_object` reads it: the app's own where it has one, but for the database."""
    attributes = {**mapping, **{name.lower(): value for name, value in mapping.items()}}
    return type("Configuration", (base,) if isinstance(base, type) else (), attributes)


def _named(default: object, mapping: Mapping[str, Any], put: Callable[[Any], Any]) -> Any:
    base = import_string(default, silent=True) if isinstance(default, str) and "." in default else None
    module = ModuleType(MODULE)
    vars(module)["Configuration"] = _class(base, mapping)
    sys.modules[MODULE] = module
    try:
        return put(f"{MODULE}.Configuration")
    finally:
        del sys.modules[MODULE]


def _filed(default: object, mapping: Mapping[str, Any], put: Callable[[Any], Any]) -> Any:
    """Of the kind that the default is of; it is gone when the app is made, since it may hold a password."""
    suffix = PurePath(default).suffix if isinstance(default, (str, PurePath)) else ""
    with tempfile.TemporaryDirectory(prefix="testbed-") as directory:
        path = Path(directory, f"configuration{suffix or '.cfg'}")
        path.write_text(_WRITERS.get(suffix, _as_python)(mapping), encoding="utf-8")
        return put(path if isinstance(default, PurePath) else str(path))


def _as_python(mapping: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {value!r}\n" for name, value in mapping.items())


def _as_toml(mapping: Mapping[str, Any]) -> str:
    flat = [f"{name} = {json.dumps(value)}\n" for name, value in mapping.items() if isinstance(value, str)]
    deep = [(name, value) for name, value in mapping.items() if isinstance(value, Mapping)]
    return "".join([*flat, *(f"[{name}]\n{_as_toml(value)}" for name, value in deep)])


_WRITERS: dict[str, Callable[[Mapping[str, Any]], str]] = {".json": json.dumps, ".toml": _as_toml}
