"""In a forked child, leave alone the connections and sessions that the parent has open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .sessions import Binding, db_session, live_bindings

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool

    from .sessions import BoundSession

inherited: list[tuple[list[BoundSession], list[Pool]]] = []
"""Keeps the parent's sessions and pools: their finalizers would close shared connections."""


def reset_after_fork() -> None:
    """Give each live engine an empty pool, and each scope no session."""
    bindings, sessions = live_bindings(), db_session.registry.sessions()
    pools = []
    for session in sessions:
        session.binding = Binding()  # It has no engine, so the session is stale where it is still held.
    db_session.registry.registry.clear()
    for binding in bindings:
        if (engine := binding.engine) is not None:
            pools.append(engine.pool)
            engine.dispose(close=False)
            binding.be_live()
    inherited.append((sessions, pools))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_after_fork)
