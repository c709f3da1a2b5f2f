"""Measure contenders in turn, so that a disturbance affects all of them."""

import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

Sample = Callable[[], float]


def in_turn(
    contenders: Mapping[str, Sample],
    *,
    rounds: int,
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Return the samples of each contender, measured in rounds, in a new order each round.

    Args:
        contenders: The function that measures each contender once.
        rounds: The number of samples of each.
        seconds: A contender that took this long in all is not measured again, so that slow ones have fewer
            samples. Each has at least one.
        progress: Called before each sample.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    spent = dict.fromkeys(contenders, 0.0)
    order = list(contenders)
    for number in range(rounds):
        random.shuffle(order)
        for name in order:
            if samples[name] and spent[name] > seconds:
                continue
            progress(f"{name} ({number + 1} of {rounds})")
            began = time.perf_counter()
            samples[name].append(contenders[name]())
            spent[name] += time.perf_counter() - began
    return samples


def timed(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that `work` takes."""
    began = clock()
    work()
    return clock() - began


def processor_time() -> float:
    """Return the processor time of all processes that this one has started and waited for, in seconds."""
    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def succeed(words: Sequence[str], folder: Path, within: float) -> None:
    """Run a command.

    Args:
        words: The command.
        folder: Its working directory.
        within: The timeout in seconds.

    Raises:
        RuntimeError: It failed; the message ends with its output.
        subprocess.TimeoutExpired: It did not end in time.
    """
    ended = subprocess.run(
        words,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within,
        check=False,
    )
    if ended.returncode:
        message = f"{' '.join(words)} failed:\n{ended.stdout[-5000:]}"
        raise RuntimeError(message)
