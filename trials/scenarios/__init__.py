"""List the scenarios of the page, which make requests and measure their effects."""

from collections.abc import Mapping
from types import MappingProxyType

from .contexts import async_view, background_thread, nested_context
from .leaks import leak
from .losses import empty_the_pool, kill_my_connection
from .others import deadlock, stale_snapshot
from .requests import abort_404, commit, duplicate_key, fail_before_commit, unhandled_error
from .scenario import Scenario
from .streams import hang_up

__all__ = ["ALL", "Scenario"]

ALL: Mapping[str, Scenario] = MappingProxyType(
    {
        known.id: known
        for known in (
            commit,
            fail_before_commit,
            abort_404,
            unhandled_error,
            duplicate_key,
            hang_up,
            nested_context,
            async_view,
            background_thread,
            deadlock,
            stale_snapshot,
            empty_the_pool,
            kill_my_connection,
            leak,
        )
    }
)
