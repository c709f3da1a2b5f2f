"""Do to an app exactly what a report says, as a person does who has only the report and the app."""

import ast
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from flask_sqlalchemy_testbed.report.causes import Group

ROOT = Path(__file__).parents[2]
COPIED = re.compile(r"Copy (?P<file>app/database/\w+\.py) from the clone")
FIRST = re.compile(r"First move the code that removes the session, in \S+, to directly after [^\s;]+")
PLACE = re.compile(r"\bshop\.py:(\d+)")
SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")
SAME_PLACE = re.compile(
    r"(?P<causes>Cause .*) ha(?:s|ve) the same place: add (?:its|their) lines below these, in any order,"
    r" without the imports and assignments that are there already\."
)
OTHER = re.compile(r"ause \d+ \(([\w.-]+)\)")
CALL = r"\b{}\((?P<uri>[^,()]+)[^()]*\)"
# The number of a line, how many lines are replaced there, and the new ones.
Edit = tuple[int, int, str]


def obey(folder: Path, *found: Group, upwards: bool = False) -> str:
    """Make the changes of causes in `shop.py`, and return its new source.

    Args:
        folder: The folder of the app.
        found: The causes of one report.
        upwards: Add the lines of later causes with the same place above those of the first, not below.
    """
    path = folder / "shop.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    edits: list[Edit] = []
    for group in found:
        if copied := COPIED.search(group.remedy):
            shutil.copy(ROOT / copied["file"], folder)
    for group in _in_their_places(found, upwards=upwards):
        edits += _edits(group, lines)
    moved = {number for number, replaced, code in edits if replaced and not code}
    for number, replaced, code in sorted(edits, reverse=True):
        # A line that one change moves needs no context at its old place.
        if code.startswith("with app.app_context():") and number in moved:
            continue
        target = next(line for line in lines[number:] if line)
        new = textwrap.indent(code, target[: len(target) - len(target.lstrip())]).splitlines()
        lines[number : number + replaced] = new
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8")


def _in_their_places(found: Iterable[Group], *, upwards: bool) -> Iterator[Group]:
    """Yield the causes; the first of those with the same place has the lines of all."""
    left = {group.rows[0]["id"]: group for group in found}
    while left:
        group = left.pop(next(iter(left)))
        others = next(filter(None, map(SAME_PLACE.fullmatch, SENTENCE.split(group.remedy))), None)
        checks = OTHER.findall(others["causes"]) if others else []
        codes = [group.code, *(left.pop(check).code for check in checks if check in left)]
        yield replace(group, code=_without_repetition("\n\n".join(codes[::-1] if upwards else codes)))


def _without_repetition(code: str) -> str:
    """Return lines without the imports and assignments that are there already."""
    seen: set[str] = set()
    repeated: set[int] = set()
    for node in ast.parse(code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign)):
            if (text := ast.unparse(node)) in seen:
                repeated |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
            seen.add(text)
    return "\n".join(line for number, line in enumerate(code.splitlines(), 1) if number not in repeated)


def _edits(group: Group, lines: list[str]) -> Iterator[Edit]:
    """Yield the edits for one cause; one that another's change mends has none."""
    if "mends this one, too" in group.remedy:
        return
    for words, edits in READINGS.items():
        if words in group.remedy or group.code.startswith(words):
            yield from edits(group, lines)
            break
    else:
        raise AssertionError(group.remedy)
    _, _, outside = group.remedy.partition("outside contexts in ")
    uses, put, calls = outside.partition(". ")[0].partition(": put ")
    if used := sorted({*_numbers(calls if put else uses)}):
        block = "\n    ".join(lines[number].strip() for number in used)
        yield used[0], used[-1] + 1 - used[0], f"with app.app_context():\n    {block}"
    if late := FIRST.match(group.remedy):
        before, after = _numbers(late[0])
        yield before, 1, ""
        yield after + 1, 0, lines[before].strip()


def _in_factory(text: str, lines: list[str]) -> list[int]:
    """Return the lines of the factory that are named, or that call the function of one that is."""
    found: dict[int, None] = {}
    tree = ast.parse("\n".join(lines))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    factory = functions["create_app"]
    for number in _numbers(text):
        of = next(
            (one for one in functions.values() if one.lineno <= number < (one.end_lineno or 0)), factory
        )
        calls = [
            node.lineno - 1
            for node in ast.walk(factory)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == of.name
        ]
        found |= dict.fromkeys([number] if of is factory else calls)
    return list(found)


def _numbers(text: str) -> list[int]:
    return [int(line) - 1 for line in PLACE.findall(text)]


def _call(line: str, function: str = "create_engine") -> re.Match[str]:
    found = re.search(CALL.format(function), line)
    assert found, line
    return found


def _after_making(group: Group, lines: list[str]) -> Iterator[Edit]:
    making, _, late = group.remedy.partition("Delete the code for it in ")
    (at,) = _numbers(making)
    assert "Flask(" in lines[at]
    yield at + 1, 0, group.code
    yield from ((number, 1, "") for number in _numbers(late))


def _no_code(_group: Group, _lines: list[str]) -> Iterator[Edit]:
    yield from ()


def _before_return(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.at)
    assert lines[at] == "    return app"
    yield at, 0, group.code


def _in_a_command(group: Group, lines: list[str]) -> Iterator[Edit]:
    moved = _in_factory(group.remedy, lines)
    # The context that an earlier change has put around a line moves with it.
    before = [number - 1 for number in moved if lines[number - 1].strip() == "with app.app_context():"]
    moved = sorted({*moved, *before})
    body = "\n".join(lines[number] for number in moved)
    yield from ((number, 1, "") for number in moved)
    yield lines.index("    return app"), 0, group.code.replace("    ...", f"{body}\n    ...")


def _before_engine(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.at)
    uri = _call(lines[at])["uri"]
    made = lines[at].strip().replace(f"create_engine({uri}", "create_engine(url")
    yield at, 1, f"{group.code.replace('...', uri, 1)}\n{made}"


def _after_engine(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.at)
    first, _, rest = group.code.partition("\n\n")
    if first.startswith("engine = create_engine(...)"):
        call = _call(lines[at])[0]
        yield at, 1, f"engine = {call}\n{lines[at].strip().replace(call, 'engine')}\n{rest}"
    else:
        yield at + 1, 0, group.code


def _with_the_library(group: Group, lines: list[str]) -> Iterator[Edit]:
    block = textwrap.indent(group.code, "    ")
    (given,) = _numbers(group.at)
    assert ".init_app(" in lines[given]
    yield given + 1, 0, f"with app.app_context():\n{block}"


def _without_scopefunc(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.remedy.partition(", or the code")[0])
    yield at, 1, re.sub(r'"scopefunc": \w+(, )?', "", lines[at])


def _in_two_places(group: Group, lines: list[str]) -> Iterator[Edit]:
    beginning = r"^(?=# (?:In the factory|In \w+\(\)|Return the engine|Delete the))"
    first, *others = re.split(beginning, group.code, flags=re.MULTILINE)
    (at,) = _numbers(group.at)
    yield at, int(not first.startswith("# Before")), first
    for other in others:
        instruction, _, block = other.partition("\n")
        if instruction.startswith("# Delete"):
            for one in other.splitlines():
                yield from ((number, 1, "") for number in _numbers(one))
            continue
        if instruction.startswith("# In get_db()"):
            at = next(number for number, line in enumerate(lines) if " Session(engine" in line)
            yield at, 1, lines[at].strip().replace("Session(engine)", "AppSession()")
            continue
        *made, number = _numbers(instruction)
        for at in made:
            line = lines[at].strip()
            yield at, 1, f"{line}\nreturn {line.partition(' = ')[0]}"
        if "after the engine is made" in instruction:
            yield number + 1, 0, block
        elif (found := re.search(r"(\w+)\(\.\.\.\)", block)) and "in place of" in instruction:
            call = _call(lines[number], found[1])[0]
            yield number, 1, block.replace(found[0], call, 1)


def _in_place(group: Group, _lines: list[str]) -> Iterator[Edit]:
    yield _numbers(group.at)[0], 1, group.code


def _in_the_handler(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.remedy)
    (handler,) = (
        node
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, ast.FunctionDef) and node.lineno == at + 1
    )
    used = [node for node in handler.body if "db_session" in ast.unparse(node)]
    first, last = used[0].lineno - 1, used[-1].end_lineno or 0
    block = textwrap.indent(textwrap.dedent("\n".join(lines[first:last])), "    ")
    rollback = "db_session.rollback()"
    tried = f"try:\n{block}\nexcept SQLAlchemyError:\n    {rollback}"
    yield first, last - first, f"from sqlalchemy.exc import SQLAlchemyError\n\n{rollback}\n{tried}"


def _in_a_finally_block(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.remedy)
    line = lines[at].strip()
    yield at, 1, f"try:\n    {line}\nfinally:\n    {line.partition('.')[0]}.close()"


def _in_place_of_another_engine(group: Group, lines: list[str]) -> Iterator[Edit]:
    (at,) = _numbers(group.remedy)
    name, (engine,) = lines[at].strip().partition(" = ")[0], re.findall(r"\S+\.get_bind\(\)", group.remedy)
    yield at, 1, ""
    yield from (
        (number, 1, line.strip().replace(f"{name}.", f"{engine}."))
        for number, line in enumerate(lines)
        if f" {name}." in line
    )


READINGS: dict[str, Callable[[Group, list[str]], Iterator[Edit]]] = {
    "have the session removed after all callbacks": _after_making,
    "The end of a context removes the session": _no_code,
    "(in a factory, before it returns app; imports at the top of the module)": _before_return,
    "to a command of the app": _in_a_command,
    "complete the URI of SQLite first": _before_engine,
    "After the line that makes the engine": _after_engine,
    "such as by init_app(), in a block `with app.app_context():` (one block for": _with_the_library,
    "Delete `scopefunc` from the session_options": _without_scopefunc,
    "# In place of the line that makes the session:": _in_two_places,
    "# In place of the line that makes SessionLocal:": _in_two_places,
    "# Before get_db():": _in_two_places,
    "in place of the line that makes it": _in_place,
    "expect that the database is down": _in_the_handler,
    "call its close() in a `finally` block": _in_a_finally_block,
    "In place of the engine that is made in": _in_place_of_another_engine,
}
