"""Find the lines of a migration that drop an index of a table that it drops later, without running it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# MySQL and MariaDB refuse to drop an index that a foreign key needs.
REFUSED = "Cannot drop index"


def lines_to_delete(source: str, line: int) -> str:
    """Return which lines to delete, in one sentence; empty if the table of the index at `line` stays.

    Args:
        source: The migration.
        line: The line that drops an index, or begins the block that does.
    """
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    function = next((one for one in functions if one.lineno <= line <= (one.end_lineno or 0)), None)
    if function is None:
        return ""
    dropped = {
        _constant(call.args[0]): call.lineno
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and _name(call) == "drop_table" and call.args
    }
    found = [
        (statement.lineno, statement.end_lineno or statement.lineno)
        for statement, table in _index_drops(function.body)
        if table and statement.lineno < dropped.get(table, 0)
    ]
    if not any(first <= line <= last for first, last in found):
        return ""
    numbers = ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in found)
    return f"Delete the lines that drop indexes ({numbers}): their tables are dropped after them."


def _index_drops(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Yield the statements that drop indexes and do nothing else, each with the name of the table."""
    for statement in body:
        if isinstance(statement, ast.With):
            batch = statement.items[0].context_expr
            if isinstance(batch, ast.Call) and _name(batch) == "batch_alter_table" and batch.args:
                drops = [one for one in statement.body if _drops_index(one)]
                whole = [statement] if len(drops) == len(statement.body) else drops
                yield from ((one, _constant(batch.args[0])) for one in whole)
        elif call := _drops_index(statement):
            keywords = {one.arg: one.value for one in call.keywords}
            of_table = keywords.get("table_name") or next(iter(call.args[1:]), None)
            yield statement, _constant(of_table)


def _drops_index(statement: ast.stmt) -> ast.Call | None:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return call if isinstance(call, ast.Call) and _name(call) == "drop_index" else None


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _constant(node: ast.expr | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
