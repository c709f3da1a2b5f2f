"""The variant that the battery suggests keeps the column's type on its own database."""

import enum
from typing import Any

import pytest
from sqlalchemy import Column, Integer, String, Text, TypeDecorator, make_url
from sqlalchemy import types as sqlalchemy_types
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import ARRAY, TypeEngine, UserDefinedType

from flask_sqlalchemy_testbed.battery.variants import variant_of


class Color(enum.Enum):
    RED = 1


class Facts(TypeDecorator[Any]):
    impl = postgresql.JSONB
    cache_ok = True


class Vector(UserDefinedType[Any]):
    pass


VARIANTS: list[tuple[TypeEngine[Any], str]] = [
    (postgresql.JSONB(), "JSON().with_variant(JSONB(), 'postgresql')"),
    (postgresql.HSTORE(), "JSON().with_variant(HSTORE(), 'postgresql')"),
    (postgresql.ARRAY(String(9)), "JSON().with_variant(ARRAY(String(length=9)), 'postgresql')"),
    (ARRAY(Integer), "JSON().with_variant(ARRAY(Integer()), 'postgresql')"),
    (postgresql.INET(), "String(255).with_variant(INET(), 'postgresql')"),
    (postgresql.TSVECTOR(), "Text().with_variant(TSVECTOR(), 'postgresql')"),
    (mysql.SET("a", "b"), "String(255).with_variant(SET('a', 'b'), 'mysql', 'mariadb')"),
    (mysql.LONGTEXT(), "Text().with_variant(LONGTEXT(), 'mysql', 'mariadb')"),
    (Facts(), "impl = JSON().with_variant(JSONB(), 'postgresql')"),
]
WITHOUT: list[TypeEngine[Any]] = [
    postgresql.INT4RANGE(),
    postgresql.ENUM(Color, name="color"),
    Vector(),
    Text(),
]


@pytest.mark.bad_day
@pytest.mark.parametrize(("type_", "variant"), VARIANTS)
def test_a_type_of_one_database_is_the_variant_of_a_type_that_each_has(
    type_: TypeEngine[Any], variant: str
) -> None:
    assert variant_of(type_) == variant


@pytest.mark.bad_day
@pytest.mark.parametrize("type_", [type_ for type_, _ in VARIANTS if not isinstance(type_, TypeDecorator)])
def test_a_column_with_the_variant_can_be_written_for_each_database(type_: TypeEngine[Any]) -> None:
    dialects = [make_url(f"{name}://").get_dialect()() for name in ("sqlite", "postgresql", "mysql")]
    names = {**vars(sqlalchemy_types), **vars(mysql), **vars(postgresql)}

    column = Column("it", eval(variant_of(type_), names))  # noqa: S307 - it is the code under test

    for dialect in dialects:
        written = str(CreateColumn(column).compile(dialect=dialect))
        if type(type_).__module__.split(".")[2] == dialect.name:
            assert written == str(CreateColumn(Column("it", type_)).compile(dialect=dialect))


@pytest.mark.bad_day
@pytest.mark.parametrize("type_", WITHOUT)
def test_a_type_without_a_natural_base_has_no_variant(type_: TypeEngine[Any]) -> None:
    assert variant_of(type_) == ""
