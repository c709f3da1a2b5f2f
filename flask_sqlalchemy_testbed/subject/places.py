"""Find where an app makes its engine, its session and itself, without running it."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES, NO_LIBRARY
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject import leftovers, making, mentions, usage
from flask_sqlalchemy_testbed.subject.discovery import file_of, parts_of
from flask_sqlalchemy_testbed.subject.shown import shown
from flask_sqlalchemy_testbed.subject.source import FUNCTIONS, parsed
from flask_sqlalchemy_testbed.subject.streams import unwrapped_streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_sqlalchemy_testbed.checks.libraries import Library
    from flask_sqlalchemy_testbed.subject.subject import Subject

ENGINE_MAKERS = ("create_engine", "engine_from_config")
SESSION_MAKERS = ("scoped_session", "sessionmaker")


@dataclass(frozen=True, slots=True)
class Places:
    """The places of an app's code that a remedy changes, and the names that its code uses there.

    A text is empty if the place or the name is unknown.
    """

    library: str = ""
    """The name of a library in `checks/libraries.py`."""
    engine_at: str = ""
    """The call that makes the engine, as `file:line`; the file is relative to the current folder."""
    session_at: str = ""
    factory_at: str = ""
    app_at: str = ""
    """The call that makes the app."""
    returned_at: str = ""
    """The line at which the function that makes the app returns it."""
    given_at: str = ""
    """The call that gives the app to its library."""
    engine_name: str = ""
    """The expression for the engine in the app's own code."""
    session_name: str = ""
    session_import: str = ""
    """The statement that imports the session where the app is made; empty if the module has the name."""
    session_imports_app: str = ""
    """Not empty if the module of the session imports that of the app: neither can import first."""
    app_name: str = ""
    """The variable of the app where it is made."""
    session_end: str = ""
    """The call that ends the session."""
    never_ended: str = ""
    """Not empty if no code of the app ends the session."""
    session_factory: str = ""
    """The first argument of `scoped_session()`."""
    session_maker: str = ""
    """The global name of the `sessionmaker()` for a session that a function returns."""
    unused_maker_at: str = ""
    """The line that makes a sessionmaker for the scoped session alone."""
    session_options: str = ""
    """The other arguments of `sessionmaker()` than the engine, with a comma before each."""
    engine_arguments: str = ""
    """The names of the arguments of the call that makes the engine, and of the values inside them."""
    engine_function: str = ""
    """The function that makes the engine, as it is called, if the app has no name there."""
    engine_called_at: str = ""
    """The first call of that function."""
    engine_called_as: str = ""
    """The expression that this call is assigned to."""
    engine_global_at: str = ""
    """The lines that make the name of the engine global, if only the function that makes it assigns it."""
    engine_is_global: str = ""
    """Not empty if the engine is made when a module is imported."""
    bound_at: str = ""
    """The call that gives the engine to the sessions: `configure(bind=...)`."""
    used_early: str = ""
    """The lines that use the database while the app is made."""
    used_outside: str = ""
    """The lines that use the session outside app contexts while the app is made."""
    reached_from: str = ""
    """For each of these lines the one of the factory that is it, or that calls its function."""
    removed_first: str = ""
    """The lines that remove the session outside app contexts before any of these uses."""
    other_uris: str = ""
    """The lines of files outside the app that write a relative URI of the app."""
    engine_uses: str = ""
    """The lines that use an engine which an import makes, except those that make it and the session."""
    engine_calls: str = ""
    """Calls of the functions in these lines, except those that run in an app context."""
    engine_commands: str = ""
    """Such calls and uses in commands of click that the app adds to its own without a context."""
    defines_tables_at: str = ""
    """The calls of `create_all()` and `drop_all()`."""
    metadata_name: str = ""
    """Their metadata, as the app calls it, such as `Base.metadata`."""
    unwrapped_streams: str = ""
    """The lines that give a response a generator without `stream_with_context`."""
    teardown_at: str = ""
    """The line that has the session removed at the end of app contexts."""
    removed_late: str = ""
    """The same line, if the app uses the session before it."""
    removed_early: str = ""
    """The line that removes the session at the end of requests, and not of app contexts."""
    commit_at: str = ""
    """The lines that commit the session at the end of requests or app contexts; else all commits there."""

    def as_dict(self) -> dict[str, str]:
        """Return the known texts by their names."""
        return {name: text for name, text in asdict(self).items() if text}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a maker: its place, the target of its assignment, and whether it runs at import."""

    at: str
    target: str = ""
    node: ast.Call | None = None
    is_global: bool = False


def places(subject: Subject) -> Places:
    """Return the places of an app; its modules are parsed, and nothing is imported.

    Args:
        subject: The app and its session, by name.
    """
    app_module, _, app = subject.app_path.partition(":")
    session_module, session = (
        parts_of(subject.session_path, flag("session")) if subject.session_path else ("", "")
    )
    modules = [session_module, app_module, *subject.roots, *sorted(subject.modules)]
    trees = dict(_trees(modules))
    library = _library(trees.values())
    found = list(_calls(trees, {*ENGINE_MAKERS, *SESSION_MAKERS, *library.makers, "Flask"}))
    calls = dict(reversed(found))  # the first of each maker
    bound = [call for maker, call in found if maker in ENGINE_MAKERS and call.at == subject.engine_at]
    # An app may use SQLAlchemy's own session beside a library.
    own = subject.session_path and _first(calls, SESSION_MAKERS)
    held = None if own else _first(calls, reversed(library.makers))
    engine = (held and _first(calls, library.makers)) or next(iter(bound), _first(calls, ENGINE_MAKERS))
    made = held or _first(calls, SESSION_MAKERS)
    in_function = subject.session_is_callable and "scoped_session" not in calls
    if in_function and not (made and made.is_global):
        made = _definition(trees, session) or made
    module = _relative(file_of(app_module))
    factory = (
        _definition(trees, app.partition("(")[0]) or calls.get("Flask") or (module and _Call(f"{module}:1"))
    )
    name = session or (_named(library.session, held) if held else made.target if made else "")
    scoped, maker, flask = (calls.get(one) for one in (*SESSION_MAKERS, "Flask"))
    app_name = flask.target if flask else ""
    bound_at = usage.bound_at(trees)
    engines = {call.target for maker, call in found if maker in ENGINE_MAKERS} - {""}
    used, outside = (
        usage.used_by_factory(trees, factory.target if factory else "", name, engines, in_contexts=one)
        for one in (True, False)
    )
    removed, outside = usage.split_at_first_use([use for use in outside if use.at != bound_at])
    teardown_at, is_late = usage.teardown_callback(trees, factory.target if factory else "", name)
    maker_of_engine = ("", "", "")
    if engine and engine.node and not held:
        maker_of_engine = _function_without(
            trees, engine.node, {(flask and flask.target) or "app"}, factory.target if factory else ""
        )
    is_global = bool(engine and engine.is_global and not held)
    # A function that makes the engine of a module for each app: only other code gets that of the last app.
    around = _functions_with_global(trees, engine) if engine and not held else []
    imported_from = _module_to_import(name, made, flask, [*modules])
    replaced = [one.node for one in (scoped, maker) if one]
    end = library.end if held else "SESSION.remove()" if scoped else "SESSION.close()"
    end = end.replace("SESSION", name + "()" * subject.session_is_callable) if name else ""
    engine_uses = ""
    if engine and (is_global or around):
        engine_uses = mentions.uses_of_global(trees, engine.target, engine.at, [*replaced, *around])
    defines_tables_at, metadata_name = mentions.defines_tables_at(trees)
    calls_outside, in_commands = mentions.outside_calls(trees, engine_uses, factory.target if factory else "")
    return Places(
        library=library.name if held else "",
        engine_at=engine.at if engine else "",
        session_at=made.at if made else "",
        factory_at=factory.at if factory else "",
        app_at=flask.at if flask else "",
        returned_at=making.returned_at(trees, flask.node, flask.target) if flask and flask.node else "",
        given_at=making.given_at(trees, held.target, held.node, app_name) if held and held.node else "",
        engine_name=_named(library.engine, held) if held else engine.target if engine else "",
        session_name=name,
        session_import=_import(trees, imported_from, name.partition(".")[0], flask),
        session_imports_app="yes" if _imports(trees, imported_from, app_module) else "",
        app_name=app_name,
        session_end=end,
        never_ended="yes" if name and not held and not usage.is_ended(trees, name) else "",
        session_factory=usage.first_argument(scoped.node) if scoped else "",
        session_maker=maker.target if maker and maker.is_global and in_function else "",
        unused_maker_at=(
            maker.at
            if scoped
            and scoped.node
            and maker
            and maker.is_global
            and maker.target.isidentifier()
            and leftovers.is_unused_without(trees, maker.target, maker.at, scoped.node)
            else ""
        ),
        session_options=usage.other_options(maker.node) if maker else "",
        engine_arguments=", ".join(usage.argument_names(engine.node)) if engine and engine.node else "",
        engine_function=maker_of_engine[0],
        engine_called_at=maker_of_engine[1],
        engine_called_as=maker_of_engine[2],
        engine_global_at=(
            leftovers.global_name_at(trees, engine.target, engine.at.rpartition(":")[0], around)
            if engine
            else ""
        ),
        engine_is_global="yes" if is_global else "",
        bound_at=bound_at,
        used_early=", ".join(use.at for use in usage.split_at_first_use(used)[1]),
        used_outside=", ".join(use.at for use in outside),
        reached_from=", ".join(use.reached_from for use in outside),
        removed_first=", ".join(use.at for use in removed),
        other_uris=mentions.other_uris(trees),
        engine_uses=engine_uses,
        engine_calls=calls_outside,
        engine_commands=in_commands,
        defines_tables_at=defines_tables_at,
        metadata_name=metadata_name,
        unwrapped_streams=", ".join(unwrapped_streams(trees)),
        teardown_at=teardown_at,
        removed_late=teardown_at if is_late else "",
        removed_early=_removed_early(trees, end),
        commit_at=usage.committed_in_hooks(trees, (*usage.REQUEST_ENDS, "teardown_appcontext"), name),
    )


def _removed_early(trees: dict[str, ast.Module], end: str) -> str:
    """Return the line that ends the session with a request, as `file:line`; empty if there is none."""
    ends = dict.fromkeys([end, f"{end.removesuffix('.remove()')}.close()"]) if end.endswith("()") else ()
    found = [at for one in ends for at in usage.called_in_hooks(trees, usage.REQUEST_ENDS, one)]
    return next(iter(found), "")


def _trees(modules: Iterable[str]) -> Iterator[tuple[str, ast.Module]]:
    """Yield each file that can be parsed with its tree, in the order of the modules."""
    for file in dict.fromkeys(file_of(module) for module in modules if module):
        if tree := parsed(file):
            yield _relative(file), tree


def _relative(file: str) -> str:
    """Return the path of a file, relative to the current folder if the file is in it; empty for none."""
    return file and shown(Path(file).resolve())


def _library(trees: Iterable[ast.Module]) -> Library:
    imported = {
        name.partition(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    return next((library for library in LIBRARIES.values() if library.module in imported), NO_LIBRARY)


def _calls(trees: dict[str, ast.Module], makers: set[str]) -> Iterator[tuple[str, _Call]]:
    """Yield each call of a maker, with the maker's name."""
    for file, tree in trees.items():
        targets = {
            id(node.value): ast.unparse(node.targets[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
        }
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, FUNCTIONS)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in makers:
                target = targets.get(id(node), "")
                yield name, _Call(f"{file}:{node.lineno}", target, node, id(node) not in inside)


def _definition(trees: dict[str, ast.Module], name: str) -> _Call | None:
    """Return where a function of this name is defined."""
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                return _Call(f"{file}:{node.lineno}", name)
    return None


def _functions_with_global(trees: dict[str, ast.Module], engine: _Call) -> list[ast.AST]:
    """Return the functions around the call that makes an engine if they keep it under a global name."""
    return [
        function
        for tree in trees.values()
        for function in ast.walk(tree)
        if isinstance(function, FUNCTIONS)
        and any(node is engine.node for node in ast.walk(function))
        and any(isinstance(node, ast.Global) and engine.target in node.names for node in ast.walk(function))
    ]


def _function_without(
    trees: dict[str, ast.Module], node: ast.Call, app: set[str], factory: str
) -> tuple[str, str, str]:
    """Return the function around a call, its own call and that call's target.

    They are empty if the function can name the app.
    """
    around = [
        function
        for tree in trees.values()
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and node in ast.walk(function)
    ]
    names = {
        one.arg if isinstance(one, ast.arg) else one.id
        for function in around
        for one in ast.walk(function)
        if isinstance(one, ast.arg) or (isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    }
    if not around or app & names or factory in {one.name for one in around}:
        return "", "", ""
    for _, call in _calls(trees, {around[-1].name}):
        if call.node:
            return ast.unparse(call.node.func), call.at, call.target
    return around[-1].name, "", ""


def _first(calls: dict[str, _Call], makers: Iterable[str]) -> _Call | None:
    return next((calls[maker] for maker in makers if maker in calls), None)


def _import(trees: dict[str, ast.Module], module: str, name: str, flask: _Call | None) -> str:
    """Return the import of a name for the module that makes the app; empty if that module has it already."""
    here = trees[flask.at.rpartition(":")[0]].body if module and flask else []
    is_there = any(
        (alias.asname or alias.name) == name
        and (node.module or "").rpartition(".")[2] == usage.module_of(file_of(module))
        for node in here
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    return f"from {module} import {name}" if module and not is_there else ""


def _module_to_import(name: str, made: _Call | None, flask: _Call | None, modules: list[str]) -> str:
    """Return the module that the module of the app imports a session from; empty if it is defined there.

    Args:
        name: The expression for the session.
        made: The call that makes a session, perhaps another one.
        flask: The call that makes the app.
        modules: The modules of the app; that of the session is the first.
    """
    file, module = "", ""
    if made and made.target.partition(".")[0] == name.partition(".")[0]:
        file = made.at.rpartition(":")[0]
        module = next((one for one in modules if one and _relative(file_of(one)) == file), "")
    elif name and modules[0]:  # A function, or an object, that the user named.
        module = modules[0]
        file = _relative(file_of(module))
    return module if flask and flask.at.rpartition(":")[0] != file else ""


def _imports(trees: dict[str, ast.Module], module: str, imported: str) -> bool:
    """Return whether the code of a module imports another one, outside functions."""
    tree = trees.get(_relative(file_of(module))) if module else None
    names = {
        name
        for node in (tree.body if tree else ())
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
        )
    }
    return imported in names


def _named(expression: str, call: _Call) -> str:
    """Return an expression of a library with the variable that holds the maker's object."""
    return expression.replace("MAKER", call.target) if call.target else ""
