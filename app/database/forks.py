"""Notice a fork, and in the child leave alone the connections that the parent has open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.pool import PoolProxiedConnection

inherited: list[object] = []
"""Keeps the parent's connections and pools: their finalizers would close shared connections."""

in_child: list[Callable[[], None]] = []
"""Functions that a child calls when it notices that it was forked."""

_process = os.getpid()


def notice_fork() -> None:
    """Act as a forked child if this process is one.

    Python itself does not notice a fork by a server that is written in C.
    """
    global _process  # noqa: PLW0603 - the process is one
    if os.getpid() != _process:
        _process = os.getpid()
        for act in in_child:
            act()


def protect(engine: Engine) -> None:
    """Let no child take a connection of its parent from the pool of ``engine``.

    SQLAlchemy's recipe looks at the process in the pool's event ``checkout``. It comes too
    late: before it, the pool has pinged the connection, or closed an old one.
    """
    _protect_pool(engine)
    event.listen(engine, "engine_disposed", _protect_pool)


def replace_pool(engine: Engine) -> None:
    """Give ``engine`` an empty pool, and leave the connections of the old one as they are."""
    inherited.append(engine.pool)
    engine.dispose(close=False)


def _protect_pool(engine: Engine) -> None:
    pool, process = engine.pool, os.getpid()

    def connect() -> PoolProxiedConnection:
        if os.getpid() == process:
            return type(pool).connect(pool)
        notice_fork()
        if engine.pool is pool:
            replace_pool(engine)
        return engine.pool.connect()

    pool.connect = connect  # type: ignore[method-assign] # the pool has no event before its ping


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice_fork)
