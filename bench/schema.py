"""Define tables as applications have them: each refers to the one before."""

from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table


def tables(count: int) -> MetaData:
    """Return so many tables, each with a generated key, a name and a foreign key."""
    metadata = MetaData()
    for number in range(count):
        Table(
            f"item_{number:03}",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(50), nullable=False),
            Column("before_id", ForeignKey(f"item_{max(number - 1, 0):03}.id")),
        )
    return metadata
