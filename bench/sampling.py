"""Contenders take turns, so that what disturbs one of them disturbs all."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Sample = Callable[[], float]


def in_turn(
    contenders: Mapping[str, Sample],
    *,
    rounds: int,
    seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, list[float]]:
    """So many samples of each, in a new order each round.

    A contender that has taken so many seconds in all is left alone from then on: a slow one need not be
    measured as often as a quick one. Each has one sample at least.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    spent = dict.fromkeys(contenders, 0.0)
    order = list(contenders)
    for number in range(rounds):
        random.shuffle(order)
        for name in order:
            if samples[name] and spent[name] > seconds:
                continue
            tell(f"{name} ({number + 1} of {rounds})")
            began = time.perf_counter()
            samples[name].append(contenders[name]())
            spent[name] += time.perf_counter() - began
    return samples


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The seconds that it takes, once."""
    began = clock()
    work()
    return clock() - began
