from flask import Blueprint, abort, request

from bookshelf.extensions import db
from bookshelf.models import Book, Reader

blueprint = Blueprint("books", __name__)


def as_json(book):
    return {"id": book.id, "title": book.title, "borrower": book.borrower.name if book.borrower else None}


@blueprint.get("/")
def index():
    return [as_json(book) for book in db.session.scalars(db.select(Book).order_by(Book.title))]


@blueprint.post("/")
def add():
    book = Book(title=request.json["title"])
    db.session.add(book)
    db.session.commit()
    return as_json(book), 201


@blueprint.post("/<int:book_id>/borrow")
def borrow(book_id):
    book = db.get_or_404(Book, book_id)
    if book.borrower is not None:
        abort(409, f"{book.borrower.name} has it.")
    book.borrower = db.first_or_404(db.select(Reader).filter_by(name=request.json["reader"]))
    db.session.commit()
    return as_json(book)


@blueprint.post("/<int:book_id>/return")
def give_back(book_id):
    book = db.get_or_404(Book, book_id)
    book.borrower = None
    db.session.commit()
    return as_json(book)
