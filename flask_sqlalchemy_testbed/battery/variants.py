"""Write the variant that lets a type of one database be used on all."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from sqlalchemy.types import ARRAY, TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

# Types that each database has, as code, and the names of the types for which one stands elsewhere.
BASES = {
    "JSON()": {"ARRAY", "HSTORE", "JSON", "JSONB"},
    "String(255)": {"CIDR", "CITEXT", "ENUM", "INET", "MACADDR", "MACADDR8", "SET"},
    "Text()": {"LONGTEXT", "MEDIUMTEXT", "TINYTEXT", "TSQUERY", "TSVECTOR"},
    "Interval()": {"INTERVAL"},
    "LargeBinary()": {"BYTEA", "LONGBLOB", "MEDIUMBLOB", "TINYBLOB"},
    "Integer()": {"MEDIUMINT", "TINYINT", "YEAR"},
}
# The dialects that have the types of a package `sqlalchemy.dialects.*`.
DIALECTS = {"mysql": "'mysql', 'mariadb'", "postgresql": "'postgresql'"}


def variant_of(type_: TypeEngine[Any]) -> str:
    """Return a type with a base that each database has, as code; empty if no base is known.

    Args:
        type_: The type of a column, which belongs to one database.
    """
    if isinstance(type_, TypeDecorator):
        variant = variant_of(type_.impl_instance)
        return variant and f"impl = {variant}"
    base = next((base for base, names in BASES.items() if type_.__visit_name__ in names), "")
    dialects = DIALECTS.get(_dialect_of(type_), "")
    # SQLAlchemy shows the default of these arguments.
    code = repr(type_).replace("(astext_type=Text())", "()").replace("(text_type=Text())", "()")
    # A string in the place of a Python enumeration would give the app other values.
    is_plain = getattr(type_, "enum_class", None) is None and _is_code(code)
    return f"{base}.with_variant({code}, {dialects})" if base and dialects and is_plain else ""


def _dialect_of(type_: TypeEngine[Any]) -> str:
    """Return the name of the dialect that has a type; empty if it is none of SQLAlchemy's."""
    modules = [kind.__module__.split(".") for kind in type(type_).__mro__]
    names = (module[2] for module in modules if module[:2] == ["sqlalchemy", "dialects"])
    return next(names, "postgresql" if isinstance(type_, ARRAY) else "")


def _is_code(text: str) -> bool:
    try:
        ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return True
