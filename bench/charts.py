"""Draw a row as SVG: the same bytes for the same figures, readable on light and dark pages."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from bench.measurements import Figure, Row, quantity

mpl.use("svg")
INK = "#808080"
OURS = "#2f81f7"
OTHERS = ["#9a9a9a", "#d08770", "#a3be8c", "#b48ead"]
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bench",
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
}
# From this ratio of values on, an axis is logarithmic.
LOGARITHMIC_FROM = 30


def draw(row: Row, path: Path) -> None:
    """Write the chart of a row: a panel for each case, with bars, or lines if figures have `at`."""
    cases: dict[str, list[Figure]] = {}
    for figure in row.figures:
        cases.setdefault(figure.case, []).append(figure)
    lines = any(figure.at is not None for figure in row.figures)
    with mpl.rc_context(STYLE):
        heights = [2.2 if lines else 0.3 + 0.25 * len(figures) for figures in cases.values()]
        drawing = Drawing(figsize=(7, 0.6 + sum(heights) + 0.5 * len(heights)), layout="constrained")
        drawing.suptitle(row.title, x=0.01, ha="left", fontsize=10)
        panels = drawing.subplots(
            len(cases), 1, squeeze=False, sharex=not lines, gridspec_kw={"height_ratios": heights}
        )
        for panel, (case, figures) in zip(panels[:, 0], cases.items(), strict=True):
            (_lines if lines else _bars)(panel, figures)
            panel.set_title(case)
        if lines:
            panels[-1, 0].set_xlabel(row.along)
        else:
            medians = [figure.median for figure in row.figures if figure.median > 0]
            if max(medians) > LOGARITHMIC_FROM * min(medians):
                panels[-1, 0].set_xscale("log")
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def _bars(panel: Axes, figures: list[Figure]) -> None:
    for place, figure in enumerate(reversed(figures)):
        ours = figure is figures[0]
        bar = panel.barh(place, figure.median, color=OURS if ours else OTHERS[0], height=0.7)
        panel.bar_label(bar, [quantity(figure.median, figure.unit)], padding=3)
    panel.margins(x=0.15)
    panel.set_yticks(range(len(figures)), [figure.contender for figure in reversed(figures)])
    panel.tick_params(axis="y", length=0)


def _lines(panel: Axes, figures: list[Figure]) -> None:
    contenders = list(dict.fromkeys(figure.contender for figure in figures))
    for contender, color in zip(contenders, [OURS, *OTHERS], strict=False):
        points = sorted(
            (figure.at, figure.median)
            for figure in figures
            if figure.contender == contender and figure.at is not None
        )
        panel.plot(*zip(*points, strict=True), marker="o", color=color, label=contender)
    places = sorted({figure.at for figure in figures if figure.at is not None})
    if places[-1] > LOGARITHMIC_FROM * places[0]:
        panel.set_xscale("log")
    panel.set_xticks(places, [f"{place:g}" for place in places])
    panel.minorticks_off()
    panel.set_ylim(bottom=0)
    panel.set_ylabel(figures[0].unit)
    panel.legend(frameon=False)
