from flask import Blueprint, abort, request
from sqlalchemy import select, update
from sqlalchemy.orm import selectinload

from polls.db import session
from polls.models import Choice, Question

blueprint = Blueprint("polls", __name__)


@blueprint.get("/questions")
def questions():
    found = session.scalars(select(Question).options(selectinload(Question.choices)))
    return [
        {"id": it.id, "text": it.text, "choices": {choice.text: choice.votes for choice in it.choices}}
        for it in found
    ]


@blueprint.post("/questions")
def ask():
    choices = [Choice(text=text) for text in request.json["choices"]]
    question = Question(text=request.json["text"], choices=choices)
    session.add(question)
    session.commit()
    return {"id": question.id}, 201


@blueprint.post("/choices/<int:choice_id>/vote")
def vote(choice_id):
    counted = session.execute(update(Choice).where(Choice.id == choice_id).values(votes=Choice.votes + 1))
    if not counted.rowcount:
        abort(404)
    session.commit()
    return "", 204
