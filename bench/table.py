"""Format the figures for the terminal."""

from collections.abc import Iterator, Sequence

from bench.measurements import Figure, Goal, Row, quantity


def table(rows: Sequence[Row]) -> str:
    """Return every figure and goal of these rows, and how many goals were reached."""
    return "\n".join([line for row in rows for line in _row(row)] + [_sum(rows)])


def _row(row: Row) -> Iterator[str]:
    yield f"{row.name}: {row.title}"
    for cells in _aligned([[*_figure(figure), _ratio(figure, row)] for figure in row.figures]):
        yield f"    {cells}"
    for cells in _aligned([_goal(goal) for goal in row.goals]):
        yield f"  {cells}"
    if row.parts and not all(goal.reached for goal in row.goals):
        yield "    The limit is made of:"
        for cells in _aligned([_figure(part) for part in row.parts]):
            yield f"      {cells}"
    for note in row.notes:
        yield f"    {note}"
    yield ""


def _figure(figure: Figure) -> list[str]:
    where = figure.case if figure.at is None else f"{figure.case}, {figure.at:g}"
    spread = f"{quantity(min(figure.samples), '')} to {quantity(max(figure.samples), '')}"
    return [
        where,
        figure.contender,
        quantity(figure.median, figure.unit),
        f"({spread}, {len(figure.samples)} samples)",
    ]


def _ratio(figure: Figure, row: Row) -> str:
    first = next(each for each in row.figures if (each.case, each.at) == (figure.case, figure.at))
    return "" if figure is first else f"{quantity(figure.median / first.median, '')} times the first"


def _goal(goal: Goal) -> list[str]:
    return [
        "✓" if goal.reached else "✗",
        goal.claim,
        quantity(goal.measured, goal.unit),
        f"goal {goal.bound}",
        "reached" if goal.reached else f"missed by {goal.missed_by}",
    ]


def _sum(rows: Sequence[Row]) -> str:
    goals = [goal for row in rows for goal in row.goals]
    return f"{sum(goal.reached for goal in goals)} of {len(goals)} goals reached."


def _aligned(lines: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
