from flask import Blueprint, abort, request
from sqlalchemy.exc import IntegrityError

from bookshelf.extensions import db
from bookshelf.models import Reader

blueprint = Blueprint("readers", __name__)


@blueprint.get("/")
def index():
    readers = db.session.scalars(db.select(Reader).order_by(Reader.name))
    return [{"name": reader.name, "borrowed": len(reader.borrowed)} for reader in readers]


@blueprint.post("/")
def add():
    reader = Reader(name=request.json["name"])
    db.session.add(reader)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        abort(409, "There is a reader of that name.")
    return {"name": reader.name}, 201
