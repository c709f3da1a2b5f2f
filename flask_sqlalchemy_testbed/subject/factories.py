"""The calls that a factory's signature allows, in the order in which they are tried."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from flask import Flask

from flask_sqlalchemy_testbed.subject.configurations import config_class, with_class_name, with_file

# Parameters that are the database's URI.
URI_PARAMETER = re.compile(
    r"(sqlalchemy_)?(database|db)_?(uri|url)|uri|url|dsn|connection_string|SQLALCHEMY_DATABASE_URI"
)
# Parameters that are, or name, a configuration.
CONFIGURATION = re.compile(r"conf|cfg|setting|override|option|env", re.IGNORECASE)
# Usual names of a configuration, for a factory that must be given one.
CONFIGURATION_NAMES = ("testing", "test", "default", "development")
# The two "calls" of an app that is a module global.
ON_IMPORT, AFTER_IMPORT = "on import", "after import"
KINDS = {
    "mapping": r"Mapping|[Dd]ict\b|\bAny\b",
    "text": r"\bstr\b|Path|\bAny\b",
    "object": r"\bobject\b|[Tt]ype\[|\bAny\b|(?i:conf|setting)",
}
_OF_MAPPING = re.compile(r"(Mapping|[Dd]ict)\[(?:[^\[\]]|\[[^\[\]]*\])*\]")


@dataclass(frozen=True, slots=True)
class FactoryCall:
    """A call of a factory, with its arguments."""

    name: str
    """Unique among the calls of a factory."""
    description: str
    """Completes "the factory was called ..."."""
    make: Callable[[Mapping[str, Any], str], Any]
    """Calls the factory; takes the configuration as a mapping, and the URI."""
    by_environment: bool = False
    """The app reads the URI from environment variables."""
    by_argument: bool = False
    """The URI itself is an argument."""


def factory_calls(
    found: Any, arguments: tuple[Any, ...] | None, *, environment: bool
) -> Iterator[FactoryCall]:
    """Yield the calls to try, the most informative first; nothing is called yet.

    Args:
        found: a factory, or an app that was made when its module was imported.
        arguments: those of a call that the user wrote out; None where none is written.
        environment: the user named an environment variable that the app reads.
    """
    if isinstance(found, Flask):
        yield FactoryCall(ON_IMPORT, "as it is made on import", lambda *_: found, by_environment=True)
        yield FactoryCall(AFTER_IMPORT, "configured after its import", partial(_configured, found))
        return
    if arguments is not None:
        yield FactoryCall("as written", "as written", lambda *_: found(*arguments), by_environment=True)
        return
    signature = _signature_of(found)
    parameter = _configuration_parameter(signature)
    kinds = _accepted_kinds(parameter) if parameter is not None else set()
    without_arguments = FactoryCall(
        "nothing", "with nothing but the environment", lambda *_: found(), by_environment=True
    )
    needs_none = _accepts(signature)
    if environment and needs_none:
        yield without_arguments
    if parameter is not None and "mapping" in kinds:
        call = partial(_call_with, found, parameter)
        yield FactoryCall("mapping", "with a mapping", lambda mapping, _: call(dict(mapping)))
    yield from _by_keyword(found, signature)
    if parameter is not None:
        yield from _by_class_or_file(found, parameter, kinds)
    if needs_none and not environment:
        yield without_arguments
    if parameter is not None and "text" in kinds and not needs_none:
        for name in CONFIGURATION_NAMES:
            make = partial(_call_with_name, found, parameter, name)
            yield FactoryCall(name, f"with {name!r}", make, by_environment=True)


def _by_keyword(factory: Callable[..., Any], signature: inspect.Signature) -> Iterator[FactoryCall]:
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            if _accepts(signature):
                yield FactoryCall("keywords", "with keyword arguments", lambda mapping, _: factory(**mapping))
        elif URI_PARAMETER.fullmatch(name) and _accepts(signature, name):
            make = partial(_call_with_uri, factory, name)
            yield FactoryCall(f"{name}=", f"with {name}=", make, by_argument=True)


def _by_class_or_file(
    factory: Callable[..., Any], parameter: inspect.Parameter, kinds: set[str]
) -> Iterator[FactoryCall]:
    default = _default_of(parameter)
    call = partial(_call_with, factory, parameter)
    if "object" in kinds:
        yield FactoryCall(
            "object", "with a config class", lambda mapping, _: call(config_class(default, mapping))
        )
    if "text" in kinds:
        yield FactoryCall(
            "import name",
            "with the name of a config class",
            lambda mapping, _: with_class_name(default, mapping, call),
        )
        yield FactoryCall(
            "file", "with the name of a config file", lambda mapping, _: with_file(default, mapping, call)
        )


def _configured(app: Flask, mapping: Mapping[str, Any], _: str) -> Flask:
    app.config.update(mapping)
    return app


def _call_with(factory: Callable[..., Any], parameter: inspect.Parameter, value: Any) -> Any:
    if parameter.kind in {parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL}:
        return factory(value)
    return factory(**{parameter.name: value})


def _call_with_name(factory: Callable[..., Any], parameter: inspect.Parameter, name: str, *_: object) -> Any:
    return _call_with(factory, parameter, name)


def _call_with_uri(factory: Callable[..., Any], name: str, _: Mapping[str, Any], uri: str) -> Any:
    return factory(**{name: uri})


def _signature_of(factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory)
    except ValueError:  # A callable made in C has none.
        return inspect.Signature()


def _accepts(signature: inspect.Signature, *names: str) -> bool:
    """Return whether a call with these keyword arguments alone is valid."""
    try:
        signature.bind(**dict.fromkeys(names, ""))
    except TypeError:
        return False
    return True


def _configuration_parameter(signature: inspect.Signature) -> inspect.Parameter | None:
    """Return the parameter that takes a configuration: by its name, else the first."""
    candidates = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    for parameter in candidates:
        if CONFIGURATION.search(parameter.name) and _others_are_optional(signature, parameter):
            return parameter
    first = candidates[0] if candidates else None
    if first is None or first.kind is first.KEYWORD_ONLY or URI_PARAMETER.fullmatch(first.name):
        return None
    return first if _others_are_optional(signature, first) else None


def _others_are_optional(signature: inspect.Signature, parameter: inspect.Parameter) -> bool:
    return all(
        one is parameter or one.default is not one.empty or one.kind in {one.VAR_KEYWORD, one.VAR_POSITIONAL}
        for one in signature.parameters.values()
    )


def _accepted_kinds(parameter: inspect.Parameter) -> set[str]:
    """Return which of `KINDS` the parameter may take, judged by its default and its annotation."""
    default = _default_of(parameter)
    if inspect.isclass(default):
        return {"object"}
    if isinstance(default, (str, PurePath)):
        return {"text"}
    if isinstance(default, Mapping):
        return {"mapping"}
    if isinstance(default, (bool, int, float)):
        return set()
    if parameter.annotation is parameter.empty:
        return set(KINDS)
    note = parameter.annotation
    name = getattr(note, "__name__", "") if inspect.isclass(note) else repr(note)
    # The types of a mapping's keys and values do not describe the parameter.
    text = _OF_MAPPING.sub(r"\1", note if isinstance(note, str) else name)
    return {kind for kind, pattern in KINDS.items() if re.search(pattern, text)} or set(KINDS)


def _default_of(parameter: inspect.Parameter) -> Any:
    return None if parameter.default is parameter.empty else parameter.default
