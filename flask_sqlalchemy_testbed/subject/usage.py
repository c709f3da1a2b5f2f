"""Find how an app's code makes and uses its session, without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask_sqlalchemy_testbed.subject.source import FUNCTIONS, LATER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
REQUEST_ENDS = ("after_request", "after_app_request", "teardown_request", "teardown_app_request")
CONTEXTS = ("app_context(", "request_context(")


class Use(NamedTuple):
    """A use of the database in code that runs while an app is made."""

    at: str
    """The line, as `file:line`."""
    reached_from: str
    """The line of the factory that is this use, or that calls its function, as `file:line`."""
    is_removal: bool
    """Whether the session is removed, and not used."""


def module_of(file: str) -> str:
    """Return the last word of the name of a module.

    Args:
        file: The file of the module.
    """
    path = Path(file)
    return path.parent.name if path.stem == "__init__" else path.stem


def first_argument(call: ast.Call | None) -> str:
    """Return the first argument of `scoped_session()`; empty if there is none.

    Args:
        call: The call.
    """
    if call is None:
        return ""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "session_factory"]
    return next((ast.unparse(one) for one in (*call.args, *named)), "")


def other_options(call: ast.Call | None) -> str:
    """Return the keyword arguments of `sessionmaker()` except the engine and the class, each after a comma.

    Args:
        call: The call.
    """
    keywords = call.keywords if call else []
    kept = [ast.unparse(keyword) for keyword in keywords if keyword.arg not in {"bind", "class_"}]
    return "".join(f", {one}" for one in kept)


def argument_names(call: ast.Call) -> Iterator[str]:
    """Yield the names of the keyword arguments of a call, each before the names inside its value.

    Args:
        call: The call; a value may be a dict, or another call.
    """
    for keyword in call.keywords:
        if keyword.arg:
            yield keyword.arg
        if isinstance(keyword.value, ast.Call):
            yield from argument_names(keyword.value)
        elif isinstance(keyword.value, ast.Dict):
            yield from (str(one.value) for one in keyword.value.keys if isinstance(one, ast.Constant))


def bound_at(trees: dict[str, ast.Module]) -> str:
    """Return where the engine is given to the sessions, as `file:line`; empty if nowhere.

    Args:
        trees: The modules of the app, by file.
    """
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "attr", "") == "configure"
                and any(keyword.arg == "bind" for keyword in node.keywords)
            ):
                return f"{file}:{node.lineno}"
    return ""


def used_by_factory(
    trees: dict[str, ast.Module],
    factory: str,
    session: str,
    engines: Collection[str] = (),
    *,
    in_contexts: bool,
) -> list[Use]:
    """Return where the app uses its database while it is made.

    Args:
        trees: The modules of the app, by file.
        factory: The name of the factory; of none, for an app that is made when its module is imported.
        session: The expression for the session; may be empty.
        engines: The expressions for the engines.
        in_contexts: Include code in app contexts, and the creation of tables; else only the session outside.
    """
    bodies, defined = _run_at_start(trees, factory)
    search = _Search(
        session,
        defined,
        engines if in_contexts else (),
        in_contexts=in_contexts,
        of_tables=in_contexts,
    )
    found: dict[str, Use] = {}
    for file, body in bodies:
        for use in (use for one in body for use in search.uses(one, file)):
            found.setdefault(use.at, use)
    return list(found.values())


def split_at_first_use(uses: list[Use]) -> tuple[list[Use], list[Use]]:
    """Return the removals of the session before it is used, and the uses after them.

    Args:
        uses: The uses, in the order in which they run.
    """
    after = list(dropwhile(lambda use: use.is_removal, uses))
    return uses[: len(uses) - len(after)], after


def teardown_callback(trees: dict[str, ast.Module], factory: str, session: str) -> tuple[str, bool]:
    """Return where a teardown callback ends the session, and whether the session is used before that line.

    The place is `file:line`; empty if there is none.

    Args:
        trees: The modules of the app, by file.
        factory: As for `used_by_factory`.
        session: The expression for the session; may be empty.
    """
    bodies, defined = _run_at_start(trees, factory)
    texts = {name: ast.unparse(found[0][1]) for name, found in defined.items()}
    search = _Search(session, defined, in_contexts=True)
    ends = [f"{session}.remove(", f"{session}.close(", f"{session}().close("] if session else []
    for file, body in bodies:
        is_used = False
        for one in body:
            names = [node.id for node in ast.walk(one) if isinstance(node, ast.Name)]
            text = "".join([ast.unparse(one), *(texts.get(name, "") for name in names)])
            if "teardown_appcontext" in text and any(end in text for end in ends):
                return f"{file}:{one.lineno}", is_used
            is_used |= any(not use.is_removal for use in search.uses(one, file))
    return "", False


def is_ended(trees: dict[str, ast.Module], session: str) -> bool:
    """Return whether any code may end the app's session: calls that may be of another object count, too.

    Args:
        trees: The modules of the app, by file.
        session: The expression for the session.
    """
    own = session.rpartition(".")[2].lower()
    for tree in trees.values():
        # The elements of a list are removed with an argument.
        with_arguments = {
            id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.With) and any("session" in _lower(item) for item in node.items):
                return True
            if not isinstance(node, ast.Attribute) or id(node) in with_arguments:
                continue
            of = _lower(node.value)
            if node.attr == "remove" or (
                node.attr == "close" and (own in of or "session" in of or "db" in of)
            ):
                return True
    return False


def _lower(node: ast.AST) -> str:
    return ast.unparse(node).lower()


def committed_in_hooks(trees: dict[str, ast.Module], hooks: Collection[str], session: str) -> str:
    """Return where callbacks commit the app's session, as `file:line`; other commits if none does.

    Args:
        trees: The modules of the app, by file.
        hooks: The methods of Flask that register the callback.
        session: The expression for the session; may be empty.
    """
    own = [
        f"{session}{between}.commit()"
        for between in ("", "()", ".connection()", "().connection()")
        if session
    ]
    found = [at for call in own for at in called_in_hooks(trees, hooks, call)] or called_in_hooks(
        trees, hooks, ".commit()"
    )
    return ", ".join(found)


def called_in_hooks(trees: dict[str, ast.Module], hooks: Collection[str], call: str) -> list[str]:
    """Return the lines of callbacks that make a call, each as `file:line`.

    Args:
        trees: The modules of the app, by file.
        hooks: The methods of Flask that register the callback.
        call: The call, or the end of it if that begins with a dot, such as `.commit()`.
    """
    found_at = []
    defined = _functions(trees)
    for file, tree in trees.items():
        for node in ast.walk(tree):
            found: list[tuple[str, ast.AST]] = []
            if isinstance(node, FUNCTIONS):
                found = [(file, node) for one in node.decorator_list if getattr(one, "attr", "") in hooks]
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in hooks:
                names = [(getattr(one, "id", getattr(one, "attr", "")), one) for one in node.args]
                found = [
                    next(iter(_own_first(defined.get(name, []), file)), (file, one)) for name, one in names
                ]
            for where, callback in found:
                found_at += [
                    f"{where}:{one.lineno}"
                    for one in ast.walk(callback)
                    if isinstance(one, ast.Call) and f".{ast.unparse(one)}".endswith(f".{call.lstrip('.')}")
                ]
    return list(dict.fromkeys(found_at))


def _functions(trees: dict[str, ast.Module]) -> dict[str, list[tuple[str, Function]]]:
    """Return the functions of each name, each with its file."""
    defined: dict[str, list[tuple[str, Function]]] = {}
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                defined.setdefault(node.name, []).append((file, node))
    return defined


def _own_first(functions: list[tuple[str, Function]], file: str) -> list[tuple[str, Function]]:
    """Return functions of one name, that of the file first: other modules may have the name, too."""
    return sorted(functions, key=lambda one: one[0] != file)


def _run_at_start(
    trees: dict[str, ast.Module], factory: str
) -> tuple[list[tuple[str, list[ast.stmt]]], dict[str, list[tuple[str, Function]]]]:
    """Return the code that makes the app, with its files, and all other functions by their names."""
    defined = _functions(trees)
    if factory in defined:
        file, function = defined.pop(factory)[0]
        return [(file, function.body)], defined
    return [(file, tree.body) for file, tree in trees.items()], defined


@dataclass(frozen=True, slots=True)
class _Search:
    """A search for uses of the database in code that runs while an app is made."""

    session: str
    defined: dict[str, list[tuple[str, Function]]]
    """The functions that the search has not entered, by name."""
    engines: Collection[str] = ()
    """The expressions for the engines of which a transaction is a use."""
    in_contexts: bool = field(kw_only=True)
    of_tables: bool = field(default=False, kw_only=True)
    """Whether the creation of tables, and a connection of the engine, are uses, too."""

    def uses(self, node: ast.AST, file: str, reached_from: str = "") -> Iterator[Use]:
        """Yield each use; enter each function that is called."""
        if isinstance(node, LATER) or self._is_left_out(node):
            return
        if isinstance(node, ast.Call):
            at = f"{file}:{node.lineno}"
            if self._is_use(node.func):
                is_removal = f".{ast.unparse(node.func)}".endswith(f".{self.session}.remove")
                yield Use(at, reached_from or at, is_removal)
            where, called = self._enter(node.func, file)
            for one in called:
                yield from self.uses(one, where, reached_from or at)
        for child in ast.iter_child_nodes(node):
            yield from self.uses(child, file, reached_from)

    def _is_left_out(self, node: ast.AST) -> bool:
        if isinstance(node, ast.With) and not self.in_contexts:
            return any(word in ast.unparse(item.context_expr) for item in node.items for word in CONTEXTS)
        return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)

    def _is_use(self, function: ast.expr) -> bool:
        """Return whether this is the session, or one of its methods that use its scope."""
        method = getattr(function, "attr", "")
        if self.of_tables and method in {"create_all", "connect"}:
            return True
        of = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        if method == "begin" and of and any(f".{of}".endswith(f".{one}") for one in self.engines):
            return True
        is_method = of == self.session or of.endswith(f".{self.session}")
        at_rest = {"query_property", "configure"} if self.in_contexts else {"query_property"}
        return bool(self.session) and (
            ast.unparse(function) == self.session or (is_method and method not in at_rest)
        )

    def _enter(self, function: ast.expr, file: str) -> tuple[str, list[ast.stmt]]:
        """Return the file and the body of a function of the app, the first time that it is called."""
        if isinstance(function, ast.Attribute):
            module = ast.unparse(function.value).rpartition(".")[2]
            defined = self.defined.get(function.attr, [])
            named = [one for one in defined if module == module_of(one[0])]
        else:
            defined = self.defined.get(getattr(function, "id", ""), [])
            named = _own_first(defined, file)
        if not named:
            return "", []
        defined.remove(named[0])
        return named[0][0], named[0][1].body
