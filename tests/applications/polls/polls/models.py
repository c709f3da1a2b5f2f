from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from polls.db import Base


class Question(Base):
    __tablename__ = "question"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(200))
    choices: Mapped[list["Choice"]] = relationship(back_populates="question", cascade="all, delete-orphan")


class Choice(Base):
    __tablename__ = "choice"

    id: Mapped[int] = mapped_column(primary_key=True)
    question_id: Mapped[int] = mapped_column(ForeignKey(Question.id))
    text: Mapped[str] = mapped_column(String(200))
    votes: Mapped[int] = mapped_column(default=0)
    question: Mapped[Question] = relationship(back_populates="choices")
