from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select

from guestbook.models import Entry, db

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index():
    entries = db.session.scalars(select(Entry).order_by(Entry.id.desc()).limit(50)).all()
    return render_template("index.html", entries=entries)


@blueprint.post("/")
def sign():
    if not request.form["body"].strip():
        flash("Nothing was written.")
    else:
        db.session.add(Entry(author=request.form["author"] or "anonymous", body=request.form["body"]))
        db.session.commit()
    return redirect(url_for("pages.index"))
