from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bookshelf.extensions import db


class Reader(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    borrowed: Mapped[list["Book"]] = relationship(back_populates="borrower")


class Book(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    borrower_id: Mapped[int | None] = mapped_column(ForeignKey(Reader.id, ondelete="SET NULL"))
    borrower: Mapped[Reader | None] = relationship(back_populates="borrowed")
