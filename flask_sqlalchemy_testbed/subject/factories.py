"""The calls that a factory's signature allows, in the order in which they are tried."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from types import ModuleType
from typing import Any, get_args

from flask import Flask

from flask_sqlalchemy_testbed.subject.configurations import (
    config_class,
    config_instance,
    merged,
    with_class_name,
    with_file,
)

# Parameters that are the database's URI.
URI_PARAMETER = re.compile(
    r"(sqlalchemy_)?(database|db)_?(uri|url)|uri|url|dsn|connection_string|SQLALCHEMY_DATABASE_URI"
)
# Parameters that are, or name, a configuration.
CONFIGURATION = re.compile(r"conf|cfg|setting|override|option|env", re.IGNORECASE)
# Parameters that are the name of the app or of its package.
NAME_PARAMETER = re.compile(r"((app|application|import|package|module)_?)?name")
# Usual names of a configuration, for a factory that must be given one.
CONFIGURATION_NAMES = ("testing", "test", "default", "development", "production")
# The only required parameter of a function that the user wrote for the testbed.
FOR_THE_TESTBED = "uri"
# The two "calls" of an app that is a module global.
ON_IMPORT, AFTER_IMPORT = "on import", "after import"
DEFAULT = "the factory's default"
KINDS = {
    "mapping": r"Mapping|[Dd]ict\b|\bAny\b",
    "text": r"\bstr\b|Path|\bAny\b",
    "object": r"\bobject\b|[Tt]ype\[|\bAny\b|(?i:conf|setting)",
}
_KINDS_OF_DEFAULT: tuple[tuple[tuple[type, ...], set[str]], ...] = (
    ((str, PurePath), {"text"}),
    ((Mapping,), {"mapping"}),
    ((bool, int, float), set()),
)
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
    configuration: str = ""
    """The configuration of the app whose other values are kept, in words; empty if unknown or described."""


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
    if _required(signature) == [FOR_THE_TESTBED]:
        yield replace(_by_uri(found, FOR_THE_TESTBED), name=FOR_THE_TESTBED, configuration="")
        return
    parameters = [_Parameter.of(found, signature, one) for one in _candidates(signature)]
    without_arguments = FactoryCall(
        "nothing",
        "with nothing but the environment",
        lambda *_: found(),
        by_environment=True,
        configuration=DEFAULT,
    )
    needs_none = _accepts(signature)
    if environment and needs_none:
        yield without_arguments
    for parameter in parameters:
        if "mapping" in parameter.kinds:
            yield parameter.call("mapping", "a mapping", parameter.with_mapping)
    yield from _by_keyword(found, signature)
    for parameter in parameters:
        yield from parameter.with_class_or_file()
    if needs_none and not environment:
        yield without_arguments
    for parameter in parameters:
        yield from parameter.with_names()


def _by_keyword(factory: Callable[..., Any], signature: inspect.Signature) -> Iterator[FactoryCall]:
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            if _accepts(signature):
                yield FactoryCall(
                    "keywords",
                    "with keyword arguments",
                    lambda mapping, _: factory(**mapping),
                    configuration=DEFAULT,
                )
        elif URI_PARAMETER.fullmatch(name) and _accepts(signature, name):
            yield _by_uri(factory, name)


def _by_uri(factory: Callable[..., Any], name: str) -> FactoryCall:
    return FactoryCall(
        f"{name}=",
        f"with {name}=",
        partial(_call_with_uri, factory, name),
        by_argument=True,
        configuration=DEFAULT,
    )


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter that may take the configuration."""

    factory: Callable[..., Any]
    signature: inspect.Signature
    name: str
    is_first: bool
    """Whether this parameter is the first of the candidates."""
    kinds: set[str]
    """Which of `KINDS` it may take."""
    base: Any
    """Its default, or the class of its annotation, whose other values are kept; None for none."""

    @classmethod
    def of(cls, factory: Callable[..., Any], signature: inspect.Signature, parameter: Any) -> _Parameter:
        """Describe a parameter of a factory."""
        kinds = _accepted_kinds(parameter)
        base = _default_of(parameter)
        if base is None and "object" in kinds:
            base = _annotated_class(factory, parameter.name)
        return cls(factory, signature, parameter.name, parameter is _candidates(signature)[0], kinds, base)

    def call(
        self, name: str, value: str, make: Callable[[Mapping[str, Any], str], Any], **options: bool
    ) -> FactoryCall:
        """Return a call with this parameter, whose value is described in words."""
        description = f"with {value}" if self.is_first else f"with {value} as {self.name}"
        is_named = isinstance(self.base, (type, ModuleType))
        return FactoryCall(
            name if self.is_first else f"{name} as {self.name}",
            description,
            make,
            configuration=self.base.__name__ if is_named else DEFAULT,
            **options,
        )

    def with_mapping(self, mapping: Mapping[str, Any], _: str) -> Any:
        """Call the factory with a mapping."""
        return self._give(merged(self.base if isinstance(self.base, Mapping) else {}, mapping))

    def with_class_or_file(self) -> Iterator[FactoryCall]:
        """Yield the calls with a class or an instance of one, or with the name of a class or of a file."""
        base = self.base
        if "object" in self.kinds:
            is_instance = base is not None and not isinstance(base, (type, ModuleType))
            if not is_instance:
                yield self.call(
                    "object", "a config class", lambda mapping, _: self._give(config_class(base, mapping))
                )
            if is_instance or (isinstance(base, type) and not self._has_default()):
                yield self.call(
                    "instance",
                    "an instance of a config class",
                    lambda mapping, _: self._give(config_instance(base, mapping)),
                )
        if "text" in self.kinds:
            yield self.call(
                "import name",
                "the name of a config class",
                lambda mapping, _: with_class_name(base, mapping, self._give),
            )
            yield self.call(
                "file", "the name of a config file", lambda mapping, _: with_file(base, mapping, self._give)
            )

    def with_names(self) -> Iterator[FactoryCall]:
        """Yield the calls with the usual names of a configuration, of which the app has several."""
        is_name = isinstance(self.base, str) and re.fullmatch(r"\w+", self.base)
        if "text" not in self.kinds or (self._has_default() and not is_name):
            return
        for name in CONFIGURATION_NAMES:
            if name != self.base:
                call = self.call(name, repr(name), partial(self._give_name, name), by_environment=True)
                yield replace(call, configuration="")

    def _has_default(self) -> bool:
        return self.signature.parameters[self.name].default is not inspect.Parameter.empty

    def _give_name(self, name: str, *_: object) -> Any:
        return self._give(name)

    def _give(self, value: Any) -> Any:
        """Call the factory; other parameters without a default are names of the app."""
        arguments = self.signature.bind_partial()
        for name, parameter in self.signature.parameters.items():
            if name == self.name:
                arguments.arguments[name] = (value,) if parameter.kind is parameter.VAR_POSITIONAL else value
            elif parameter.default is not parameter.empty and parameter.kind is parameter.POSITIONAL_ONLY:
                arguments.arguments[name] = parameter.default
            elif _is_a_name(parameter):
                arguments.arguments[name] = self.factory.__module__
        return self.factory(*arguments.args, **arguments.kwargs)


def _configured(app: Flask, mapping: Mapping[str, Any], _: str) -> Flask:
    app.config.update(mapping)
    return app


def _call_with_uri(factory: Callable[..., Any], name: str, _: Mapping[str, Any], uri: str) -> Any:
    return factory(**{name: uri})


def _signature_of(factory: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(factory)
    except ValueError:  # A callable made in C has none.
        return inspect.Signature()


def _required(signature: inspect.Signature) -> list[str]:
    """Return the names of the parameters without a default, if each can be given by its name."""
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    required = [
        one for one in signature.parameters.values() if one.default is one.empty and one.kind not in variadic
    ]
    return [] if any(one.kind is one.POSITIONAL_ONLY for one in required) else [one.name for one in required]


def _accepts(signature: inspect.Signature, *names: str) -> bool:
    """Return whether a call with these keyword arguments alone is valid."""
    try:
        signature.bind(**dict.fromkeys(names, ""))
    except TypeError:
        return False
    return True


def _candidates(signature: inspect.Signature) -> list[inspect.Parameter]:
    """Return the parameters that may take a configuration: first those with a name that says so."""
    possible = [
        one
        for one in signature.parameters.values()
        if one.kind is not one.VAR_KEYWORD
        and not URI_PARAMETER.fullmatch(one.name)
        and _others_are_optional(signature, one)
    ]
    # The name of the app, unless it is the only candidate: then it may be the name of a configuration.
    found = [one for one in possible if not _is_a_name(one)] or possible
    return sorted(found, key=lambda one: not CONFIGURATION.search(one.name))


def _is_a_name(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter must be given and is the name of the app or of its package."""
    return parameter.default is parameter.empty and bool(NAME_PARAMETER.fullmatch(parameter.name))


def _others_are_optional(signature: inspect.Signature, parameter: inspect.Parameter) -> bool:
    return all(
        one is parameter
        or one.default is not one.empty
        or one.kind in {one.VAR_KEYWORD, one.VAR_POSITIONAL}
        or _is_a_name(one)
        for one in signature.parameters.values()
    )


def _annotated_class(factory: Callable[..., Any], name: str) -> type | None:
    """Return the app's own class in the annotation of a parameter; None if there is none."""
    try:
        note = inspect.signature(factory, eval_str=True).parameters[name].annotation
    except Exception:  # noqa: BLE001 - a name of the annotation may be imported for type checkers alone
        return None
    classes = [one for one in (note, *get_args(note)) if isinstance(one, type)]
    own = [
        one for one in classes if one.__module__ not in {"builtins", "inspect", "pathlib", "types", "typing"}
    ]
    return own[0] if own and not issubclass(own[0], (Mapping, str)) else None


def _accepted_kinds(parameter: inspect.Parameter) -> set[str]:
    """Return which of `KINDS` the parameter may take, judged by its default and its annotation."""
    default = _default_of(parameter)
    for types, kinds in _KINDS_OF_DEFAULT:
        if isinstance(default, types):
            return kinds
    if default is not None:  # A class, an instance of one, or a module.
        return {"object"}
    if parameter.annotation is parameter.empty:
        return set(KINDS)
    note = parameter.annotation
    name = getattr(note, "__name__", "") if inspect.isclass(note) else repr(note)
    # The types of a mapping's keys and values do not describe the parameter.
    text = _OF_MAPPING.sub(r"\1", note if isinstance(note, str) else name)
    return {kind for kind, pattern in KINDS.items() if re.search(pattern, text)} or set(KINDS)


def _default_of(parameter: inspect.Parameter) -> Any:
    return None if parameter.default is parameter.empty else parameter.default
