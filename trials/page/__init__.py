"""The page: the status of each backend, the scenarios, and their results."""

import secrets
from pathlib import Path
from typing import Any

from flask import Flask, abort, jsonify, redirect, render_template, request, send_file, url_for
from flask.typing import ResponseReturnValue
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.timeline import drawing
from trials import guard
from trials.actions import everywhere, let_go, perform, reply, run
from trials.history import KEPT, History
from trials.ledger import OPERATIONS
from trials.mounts import Mounted
from trials.pictures import pictures
from trials.scenarios import ALL
from trials.status import StatusPoller
from trials.verdicts import Action

ALL_BACKENDS = "all"
# Widths of a timeline in pixels: beside the scenarios, alone on a page, beside another one.
PANEL, PAGE, HALF = 800, 1030, 600
TIMELINE_CSS = Path(drawing.__file__).with_name("timeline.css")


class Page:
    """The views of the page, for the backends that are mounted beside it."""

    def __init__(self, mounted: dict[str, Mounted], *, trials: bool) -> None:
        self.mounted = mounted
        self.trials = trials
        self.history = History()
        self.pollers = {name: StatusPoller(each) for name, each in mounted.items()}

    def init_app(self, front: Flask) -> None:
        """Register the views.

        The scenarios, which do damage, exist only if the trial is switched on.
        """
        guard.init_app(front)
        front.jinja_env.undefined = StrictUndefined
        front.jinja_env.trim_blocks = front.jinja_env.lstrip_blocks = True
        front.jinja_env.globals.update(trials=self.trials)
        front.context_processor(lambda: {"backends": list(self._visible())})
        front.register_error_handler(HTTPException, refused)
        front.add_url_rule("/", "index", self.index)
        front.add_url_rule("/state.json", "state", self.state)
        front.add_url_rule("/static/timeline.css", "timeline_css", timeline_css)
        front.add_url_rule("/ledger", "ledger", self.ledger, methods=["POST"])
        front.add_url_rule("/timelines/<int:number>", "timeline", self.timeline)
        front.add_url_rule("/timelines/compare", "compare", self.compare)
        if self.trials:
            front.add_url_rule("/scenarios", "scenarios", self.scenarios, methods=["POST"])
            front.add_url_rule("/leaks", "leaks", self.leaks, methods=["POST"])
            front.add_url_rule("/checks/<id>", "check", check)

    def index(self) -> str:
        """Show the page with the last result."""
        latest = self.history.latest()
        return render_template(
            "page.html.jinja",
            state=self._state(),
            scenarios=[(each, self._lacking(each.id)) for each in ALL.values()],
            operations=OPERATIONS.values(),
            key=f"key-{secrets.token_hex(3)}",
            history=latest,
            shown=_shown(latest[0]) if latest else None,
        )

    def state(self) -> ResponseReturnValue:
        """Return the status of each backend."""
        return jsonify(self._state())

    def scenarios(self) -> ResponseReturnValue:
        """Run a scenario on one backend or all."""
        scenario = ALL.get(request.form.get("scenario", "")) or abort(
            404, "Unknown scenario. Choose one on the page."
        )
        results = everywhere(self._asked_for(), lambda each: run(scenario, each))
        return self._answer(
            self.history.add(scenario.title, results, promise=scenario.promise, check=scenario.check)
        )

    def ledger(self) -> ResponseReturnValue:
        """Send a request to the ledger on one backend or all."""
        operation = OPERATIONS.get(request.form.get("operation", "")) or abort(
            404, "Unknown operation. Choose one on the page."
        )
        act, do = operation.act(request.form.to_dict()), perform if self.trials else reply
        results = everywhere(self._asked_for(), lambda each: do(each, operation.id, act))
        return self._answer(self.history.add(operation.title, results))

    def leaks(self) -> ResponseReturnValue:
        """End the sessions that were left open on purpose."""
        asked = self._asked_for()
        tapes = [leak.tape for each in asked for leak in each.leaks]
        results = everywhere(asked, let_go)
        self.history.let_go(tapes)
        promise = "A session that was left open ends with its context."
        return self._answer(
            self.history.add("Let it go", results, promise=promise, check="lifecycle.context-ends")
        )

    def timeline(self, number: int) -> str:
        """Show the timelines of an action."""
        return render_template("timeline.html.jinja", shown=_shown(self._kept(number), PAGE))

    def compare(self) -> str:
        """Show two actions side by side on one axis."""
        numbers = request.args.getlist("n", type=int)
        if len(numbers) != 2:  # noqa: PLR2004
            abort(400, "Choose two timelines to compare.")
        actions = [self._kept(number) for number in numbers]
        drawn = zip(actions, pictures(*actions, width=HALF), strict=True)
        return render_template(
            "compare.html.jinja", both=[{"action": action, "pictures": each} for action, each in drawn]
        )

    def _state(self) -> dict[str, dict[str, Any]]:
        for poller in self.pollers.values():
            poller.poll()
        return {name: self.pollers[name].status() for name in self._visible()}

    def _visible(self) -> dict[str, Mounted]:
        return {name: each for name, each in self.mounted.items() if not self.pollers[name].is_hidden}

    def _lacking(self, scenario: str) -> list[str]:
        return [
            reason for each in self._visible().values() if (reason := ALL[scenario].lacking(each.backend))
        ]

    def _asked_for(self) -> list[Mounted]:
        to = request.form.get("to", ALL_BACKENDS)
        visible = self._visible()
        if to != ALL_BACKENDS and to not in visible:
            abort(404, "Unknown backend. Choose one on the page.")
        return list(visible.values()) if to == ALL_BACKENDS else [visible[to]]

    def _kept(self, number: int) -> Action:
        return self.history.get(number) or abort(
            404, f"Timeline {number} is gone: only the last {KEPT} are kept."
        )

    def _answer(self, action: Action) -> ResponseReturnValue:
        if request.headers.get("Accept") != "application/json":
            return redirect(url_for("timeline", number=action.number), 303)
        return jsonify(
            result=render_template("result.html.jinja", shown=_shown(action)),
            history=render_template("history.html.jinja", history=self.history.latest()),
            message=f"{action.title}: {action.summary()}",
        )


def timeline_css() -> ResponseReturnValue:
    """Serve the style sheet of the timelines."""
    return send_file(TIMELINE_CSS, conditional=True)


def check(id: str) -> str:  # noqa: A002 - the URL's word
    """Show one check of the battery."""
    found = CHECKS.get(id) or abort(404, f"The battery has no check {id!r}.")
    return render_template("check.html.jinja", check=found, cases=reported(found.cases))


def refused(error: HTTPException) -> ResponseReturnValue:
    """Answer an error as HTML, or as JSON for the script of the page."""
    if request.headers.get("Accept") == "application/json":
        return jsonify(error=error.description), error.code or 500
    return render_template("refused.html.jinja", error=error), error.code or 500


def _shown(action: Action, width: int = PANEL) -> dict[str, Any]:
    return {"action": action, "pictures": pictures(action, width=width)[0]}
