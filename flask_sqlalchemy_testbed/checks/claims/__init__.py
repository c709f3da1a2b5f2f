"""Hold all checks as data, by id.

The battery's tests refer to them: `@check("lifecycle.request-ends")`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.claims import (
    binding,
    faults,
    isolation,
    lifecycle,
    portability,
    promises,
    schema,
    transactions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_sqlalchemy_testbed.checks.definition import Check

# In the order of `GROUPS`.
_MODULES = (binding, lifecycle, transactions, portability, faults, isolation, schema, promises)
CHECKS: Mapping[str, Check] = MappingProxyType(
    {check.id: check for module in _MODULES for check in module.CHECKS}
)
