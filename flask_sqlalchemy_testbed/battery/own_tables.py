"""Create the app's own tables, and name the table and the column that cannot be created."""

from __future__ import annotations

import contextlib
import re
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    NullPool,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import SAWarning, SQLAlchemyError, UnsupportedCompilationError
from sqlalchemy.orm.mapper import _all_registries
from sqlalchemy.schema import CreateColumn, CreateSchema

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.battery.variants import variant_of
from flask_sqlalchemy_testbed.subject.shown import definition_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Column, Dialect, MetaData
    from sqlalchemy.engine import Engine

# The error of SQLAlchemy about a type that the database does not have; a compiler is shown with its address.
NO_TYPE = r"can't render element of type"
COMPILER = re.compile(rf"Compiler <.*?> (?={NO_TYPE})")
# The smallest change, by a pattern of the error that SQLAlchemy or the database raises.
REMEDIES = {
    r"requires a length": "Give it a length: String(255).",
    NO_TYPE: "Use a type that each database has, or give it a variant for this database: with_variant().",
    r"type requires a name|requires a name": "Give the type a name: Enum(..., name='...').",
    r"key was too long|index row size": (
        "Shorten the columns of the key, or index the beginning: Index(..., mysql_length=255)."
    ),
    r"key specification without a key length": "Give it a length: String(255) in place of Text.",
    r"can't have a default value": "Replace server_default by default, which SQLAlchemy sends itself.",
    r"Invalid default value": "Write a server_default that each database reads, such as func.now().",
    r"Row size too large": "Use Text for the long columns of this table.",
    r"[Ii]dentifier .*(too long|exceeds maximum)": "Give it a shorter name.",
    r"could not find table": "Import the module that declares the other table before the tables are created.",
    r"already exists|Duplicate (check|foreign key) constraint": (
        "Give each index and constraint a name that no other one has."
    ),
    r"incompatible|cannot be implemented|incorrectly formed": (
        "Give both columns of the foreign key the same type."
    ),
    r"Missing unique key|no unique constraint|Missing index for constraint": (
        "Give the column that the foreign key refers to unique=True."
    ),
    r"Can't sort tables for DROP": "Name the foreign keys of the cycle: ForeignKey(..., name='...').",
    r"type \"?[\w.]+\"? does not exist": (
        "Create its extension first, in a listener for the metadata's before_create."
    ),
    r"has no schemas": (
        "Map the schema away there: execution_options={'schema_translate_map': {...: None}} of the engine."
    ),
    r"Cannot drop index": "Drop the foreign key before its index, or drop the whole table.",
    r"No support for ALTER": "Write the change in op.batch_alter_table(), which copies the table on SQLite.",
    r"syntax error|error in your SQL syntax": "Write it in SQL that each database reads, or once for each.",
}
OTHERWISE = "Change what the message names, or give the type a variant for this database."
# The dialects whose databases have schemas inside; MySQL's SCHEMA is another database.
WITH_SCHEMAS = {"postgresql"}
WITHOUT_SCHEMA = {None, "main"}


class OwnTablesError(Exception):
    """A table cannot be created or dropped; the message names column and model, and says what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A table, or one of its columns, with the error that it caused."""

    table: str
    columns: tuple[str, ...]
    reason: str
    doing: str = "be created"
    variant: str = ""
    """The column's type with a base that each database has, as code; empty if no base is known."""

    @property
    def place(self) -> str:
        """Return the table with its columns."""
        return f"{self.table}.{'+'.join(self.columns)}" if self.columns else f"table {self.table}"

    @property
    def remedy(self) -> str:
        """Return the smallest change, in one sentence."""
        if self.variant and re.search(NO_TYPE, self.reason):
            return f"Use a type that each database has, or give it a variant: {self.variant}."
        return remedy_for(self.reason) or OTHERWISE

    def __str__(self) -> str:
        return f"{self.place} cannot {self.doing}: {self.reason}. {self.remedy}"


def remedy_for(reason: str) -> str:
    """Return the smallest change for an error of the schema, in one sentence; empty if none is known.

    Args:
        reason: The message of SQLAlchemy or of the database.
    """
    return next((remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, reason)), "")


def first_line(error: BaseException) -> str:
    """Return the first line of an error, of the driver's where it raised one, without the full stop."""
    error = getattr(error, "orig", None) or error
    # Drivers have (number, text) as arguments, or the text alone.
    text = str(error.args[-1] if error.args else "").strip() or str(error).strip() or type(error).__name__
    return COMPILER.sub("SQLAlchemy ", text.splitlines()[0]).rstrip(".")


def lacking(error: BaseException | None, dialect: str) -> str:
    """Return the first line of an error if its server lacks what a statement needs; else an empty string.

    Args:
        error: The error; one that it was raised from, or during, counts too.
        dialect: The name of the database's dialect.
    """
    pattern = BACKENDS[dialect].lacking
    while error is not None:
        if pattern and re.search(pattern, str(getattr(error, "orig", None) or error)):
            return first_line(error)
        error = error.__cause__ or error.__context__
    return ""


def create_and_drop(metadata: MetaData, engine: Engine) -> None:
    """Create the tables of a metadata as `create_all` does, and drop them.

    Args:
        metadata: The metadata.
        engine: An engine of the app, on an empty database.

    Raises:
        OwnTablesError: A table cannot be created, or `drop_all` fails.
    """
    check_columns(metadata, engine.dialect)
    _create_schemas(metadata, engine)
    last: list[Table] = []
    try:
        with _each_table_noted(metadata, last), warnings.catch_warnings():
            # SQLite drops tables that refer to each other, about which SQLAlchemy warns.
            warnings.simplefilter("ignore", SAWarning)
            metadata.create_all(engine)
    except SQLAlchemyError as error:
        raise OwnTablesError(_in_words([_problem(error, last, metadata)], metadata)) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            metadata.drop_all(engine)
    except SQLAlchemyError as error:
        problem = replace(_problem(error, [], metadata), doing="be dropped by drop_all()")
        raise OwnTablesError(_in_words([problem], metadata)) from error


def check_columns(metadata: MetaData, dialect: Dialect) -> None:
    """Raise an error if SQLAlchemy cannot write the definition of a column for a database.

    Args:
        metadata: The metadata.
        dialect: The dialect of the database.

    Raises:
        OwnTablesError: It cannot; the message names the first columns.
    """
    if problems := [problem for table in metadata.tables.values() for problem in _uncompiled(table, dialect)]:
        raise OwnTablesError(_in_words(problems, metadata))


def create_possible(metadata: Iterable[MetaData], uri: str) -> None:
    """Create the tables of several metadata over a connection of the battery; leave impossible ones out.

    Args:
        metadata: The metadata of one database.
        uri: The database.
    """
    engine = create_engine(uri, poolclass=NullPool)
    try:
        for table in (table for one in metadata for table in one.sorted_tables):
            with contextlib.suppress(SQLAlchemyError):
                table.create(engine, checkfirst=True)
    finally:
        engine.dispose()


def impossible_elsewhere(metadata: MetaData, names: Iterable[str]) -> str:
    """Return which columns SQLAlchemy cannot write for databases that are not there; empty if it can.

    A type that belongs to other databases is left out: the author of the app has chosen it.

    Args:
        metadata: The metadata.
        names: The names of the backends that the run does not include.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        dialect = make_url(f"{name}://").get_dialect()()
        problems = [
            replace(problem, reason=problem.reason.removesuffix(f" on dialect {name}"))
            for table in metadata.tables.values()
            for problem in _uncompiled(table, dialect, (UnsupportedCompilationError,))
        ]
        if problems:
            found.setdefault(_in_words(problems, metadata), []).append(name)
    return " ".join(
        f"The run does not include {' and '.join(names)}. There {text}" for text, names in found.items()
    )


def line_of_model(metadata: MetaData, table: str) -> str:
    """Return where the class of a table is defined, as `file:line`; empty if it has none.

    Args:
        metadata: The metadata that holds the table.
        table: Its full name.
    """
    # SQLAlchemy has no public list of all registries.
    mappers = [mapper for registry in _all_registries() for mapper in registry.mappers]
    for mapper in mappers:
        if mapper.local_table is metadata.tables.get(table):
            with contextlib.suppress(OSError, TypeError):  # Made by exec.
                file, line = definition_of(mapper.class_)
                return f"{file}:{line}"
    return ""


def _uncompiled(
    table: Table, dialect: Dialect, ignored: tuple[type[SQLAlchemyError], ...] = ()
) -> Iterator[Problem]:
    """Yield each column whose definition cannot be written for the database."""
    for column in table.columns:
        try:
            CreateColumn(column).compile(dialect=dialect)
        except ignored:
            pass
        except SQLAlchemyError as error:
            yield Problem(table.fullname, (column.name,), first_line(error), variant=variant_of(column.type))


def _in_words(problems: list[Problem], metadata: MetaData) -> str:
    """Return the problems, one sentence for each remedy."""
    groups: dict[str, list[Problem]] = {}
    for problem in problems:
        groups.setdefault(problem.remedy, []).append(problem)
    return " ".join(_group_in_words(group, metadata) for group in groups.values())


def _group_in_words(group: list[Problem], metadata: MetaData) -> str:
    """Return problems that have the same remedy."""
    others = ", ".join(problem.place for problem in group[1:4])
    more = f" and {len(group) - 4} more" if len(group) > 4 else ""  # noqa: PLR2004 - those above
    line = line_of_model(metadata, group[0].table)
    return (
        f"{group[0]}{f' The same applies to: {others}{more}.' if others else ''}"
        f"{f' The model is at {line}.' if line else ''}"
    )


def _create_schemas(metadata: MetaData, engine: Engine) -> None:
    """Create the schemas of the tables; raise OwnTablesError where a database has none.

    There a table of a schema would be in another database, which is none of this run.
    """
    translated = engine.get_execution_options().get("schema_translate_map", {})
    by_schema = {translated.get(table.schema, table.schema): table for table in metadata.tables.values()}
    wanted = {name: table for name, table in by_schema.items() if name not in WITHOUT_SCHEMA}
    for name, table in wanted.items():
        if engine.dialect.name not in WITH_SCHEMAS:
            reason = f"it is in the schema {name!r}, and a database of {engine.dialect.name} has no schemas"
            raise OwnTablesError(_in_words([Problem(table.fullname, (), reason)], metadata))
        with engine.begin() as connection:
            connection.execute(CreateSchema(str(name), if_not_exists=True))


@contextlib.contextmanager
def _each_table_noted(metadata: MetaData, last: list[Table]) -> Iterator[None]:
    """Keep the table that is being created in `last`."""

    def note(table: Table, *_: object, **__: object) -> None:
        last[:] = [table]

    tables = list(metadata.tables.values())
    for table in tables:
        event.listen(table, "before_create", note)
    try:
        yield
    finally:
        for table in tables:
            event.remove(table, "before_create", note)


def _problem(error: SQLAlchemyError, last: list[Table], metadata: MetaData) -> Problem:
    """Return the table and the columns that an error is about, as far as they can be told."""
    reason = first_line(error)
    table = last[0] if last else _named_table(reason, metadata)
    if table is None:
        return Problem(", ".join(sorted(metadata.tables))[:60], (), reason)
    return Problem(table.fullname, _columns(table, reason, getattr(error, "statement", None) or ""), reason)


def _named_table(reason: str, metadata: MetaData) -> Table | None:
    named = set(re.findall(r"\w+", reason))
    return next((table for table in metadata.tables.values() if table.name in named), None)


def _columns(table: Table, reason: str, statement: str) -> tuple[str, ...]:
    """Return the columns of a table that an error names, or those of the index or key that it is about."""
    quoted = set(re.findall(r"[\"'`.](\w+)[\"'`]", reason))
    if named := [column.name for column in table.columns if column.name in quoted]:
        return (named[0],)
    for index in table.indexes:
        if index.name and re.search(rf"\b{re.escape(index.name)}\b", f"{reason} {statement[:200]}"):
            return tuple(column.name for column in index.columns)
    if re.search(r"key was too long|index row size", reason):
        keys = [key for key in table.constraints if isinstance(key, (PrimaryKeyConstraint, UniqueConstraint))]
        return _names(max((key.columns for key in keys), key=_length, default=()))
    if re.search(r"Can't sort tables for DROP", reason):
        unnamed = [key for key in table.foreign_key_constraints if not key.name]
        return _names(unnamed[0].columns) if unnamed else ()
    return ()


def _names(columns: Iterable[Column[Any]]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


def _length(columns: Iterable[Column[Any]]) -> int:
    return sum(getattr(column.type, "length", None) or 0 for column in columns)
