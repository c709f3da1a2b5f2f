"""Read how many connections the pool of an app can give, and shorten the wait for one."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Engine, QueuePool
from sqlalchemy.pool import AssertionPool

# No check needs more connections than the pool gives: a request waits for one only if others were left open.
WAIT_SECONDS = 2.0

# By the dialect, which stays when the engine replaces its pool.
_own_timeouts: WeakKeyDictionary[Dialect, float] = WeakKeyDictionary()


def most_connections(engine: Engine) -> float:
    """Return how many connections the pool of an engine gives at once; infinite if it has no limit.

    Args:
        engine: The engine of an app.
    """
    pool = engine.pool
    if isinstance(pool, AssertionPool):
        return 1
    # There is no public way to these settings of a pool.
    if isinstance(pool, QueuePool) and pool._max_overflow >= 0:  # noqa: SLF001 - see above
        return pool.size() + pool._max_overflow  # noqa: SLF001 - see above
    return math.inf


def limit_wait(engine: Engine, seconds: float = WAIT_SECONDS, *, unless_over: float = math.inf) -> None:
    """Have a request that finds the pool empty fail sooner.

    Args:
        engine: The engine of an app.
        seconds: The new timeout, if that of the app is longer.
        unless_over: Leave the app its own timeout if it is longer than this.
    """
    pool = engine.pool
    if isinstance(pool, QueuePool):
        timeout = math.inf if pool._timeout is None else pool._timeout  # noqa: SLF001 - see above
        own = _own_timeouts.setdefault(engine.dialect, timeout)
        wait = own if own > unless_over else min(own, seconds)
        pool._timeout = None if math.isinf(wait) else wait  # type: ignore[assignment]  # noqa: SLF001 - see above


@contextmanager
def limited_to(engine: Engine, most: int) -> Iterator[None]:
    """Have the pool of an engine give fewer connections, as if others had the rest.

    A pool without a limit stays as it is.

    Args:
        engine: The engine of an app.
        most: The number of connections to give.
    """
    pool, all_of_it = engine.pool, most_connections(engine)
    taken = 0 if math.isinf(all_of_it) else max(0, int(all_of_it) - most)
    if not taken or not isinstance(pool, QueuePool):
        yield
        return
    # The pool's count of connections: it opens no more than its limit.
    pool._overflow += taken  # noqa: SLF001 - there is no public way to reserve connections
    try:
        yield
    finally:
        pool._overflow -= taken  # noqa: SLF001 - see above
