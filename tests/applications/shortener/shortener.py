"""Short links to long addresses, in the database of DATABASE_URL."""

import os
import secrets

from flask import Flask, abort, redirect, request, url_for
from sqlalchemy import String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "only for development")
engine = create_engine(os.environ.get("DATABASE_URL", "sqlite:///shortener.db"))
Session = scoped_session(sessionmaker(bind=engine))


class Base(DeclarativeBase):
    pass


class Link(Base):
    __tablename__ = "link"

    key: Mapped[str] = mapped_column(String(8), primary_key=True)
    target: Mapped[str] = mapped_column(String(2000))
    used: Mapped[int] = mapped_column(default=0)


Base.metadata.create_all(engine)


@app.teardown_appcontext
def remove_session(exception=None):
    Session.remove()


@app.post("/")
def shorten():
    link = Link(key=secrets.token_urlsafe(6), target=request.form["target"])
    Session.add(link)
    Session.commit()
    return url_for("follow", key=link.key, _external=True), 201


@app.get("/<key>")
def follow(key):
    link = Session.get(Link, key) or abort(404)
    link.used += 1
    Session.commit()
    return redirect(link.target)
