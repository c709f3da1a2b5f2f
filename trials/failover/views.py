"""The page of the failover: both servers, their roles and lag, and the transfers on one time axis."""

import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import Flask, abort, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from app import create_app
from app.database import get_engine
from trials.failover.load import Load
from trials.failover.nodes import KEPT, START, Lag, Node, Pair, RefusedError, Role
from trials.failover.picture import AXIS, draw, pauses, size
from trials.failover.watch import Watch
from trials.models import create_tables_on_first_contact

# Seconds that the first request waits for the servers.
FIRST_WAIT = 3.0
# The latest changes of roles that the page lists.
LISTED = 8
KINDS = {Role.PRIMARY: "good", Role.STANDBY: "none", Role.DEMOTED: "warn", Role.AWAY: "bad"}
NONE = "n/a"
# For the role of a server and that of the other one (None: any other): a sentence and a command of Compose.
ADVICE: dict[tuple[Role, Role | None], tuple[str, str]] = {
    (Role.PRIMARY, None): ("It takes writes. Demote it, or kill it as a power cut would:", "kill"),
    (Role.STANDBY, Role.PRIMARY): (
        "To promote it, demote or kill the primary first. To kill this one:",
        "kill",
    ),
    (Role.STANDBY, None): ("No server takes writes. Promote this one. To kill it:", "kill"),
    (Role.DEMOTED, Role.PRIMARY): ("It follows no server. To make it the standby of the primary:", "restart"),
    (Role.DEMOTED, None): (
        "It refuses writes. Promote the other server, or this one again. To kill it:",
        "kill",
    ),
    (Role.AWAY, Role.PRIMARY): ("To start it, as the standby of the primary:", "start"),
    (Role.AWAY, None): ("Promote the other server first. Then start this one as its standby:", "start"),
    (Role.AWAY, Role.AWAY): ("Neither server answers. To start both:", START),
}


class Failover:
    """The views, for the app that is mounted beside them."""

    def __init__(self, gate: str, password_file: str, operator_password_file: str) -> None:
        """Make the app on the pair. Nothing connects yet.

        Args:
            gate: The URI that leads to the server that takes writes.
            password_file: The file with the password of its user.
            operator_password_file: The file with that of the role `operator`.
        """
        self.app = create_app({"DATABASE_URI": gate, "DATABASE_PASSWORD_FILE": password_file})
        with self.app.app_context():
            create_tables_on_first_contact(get_engine())
        self.pair = Pair(gate, operator_password_file)
        self.load = Load(self.app)
        self.watch = Watch(*(node.look for node in self.pair.nodes.values()), *self.load.works())
        self._changes: deque[tuple[float, datetime, str, str]] = deque(maxlen=LISTED)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Failover | None":
        """Return the views that the variables describe, or None without ``PAIR_URI``."""
        if not (gate := environment.get("PAIR_URI")):
            return None
        return cls(gate, environment["PAIR_PASSWORD_FILE"], environment["OPERATOR_PASSWORD_FILE"])

    def init_app(self, front: Flask) -> None:
        """Register the views."""
        front.add_url_rule("/failover", "failover", self.index)
        front.add_url_rule("/failover.json", "failover_state", self.state)
        front.add_url_rule("/failover", "failover_change", self.change, methods=["POST"])

    def index(self) -> str:
        """Show the page."""
        return render_template("failover.html.jinja", now=self._state(), axis=AXIS)

    def state(self) -> ResponseReturnValue:
        """Return what the page shows."""
        return jsonify(self._state())

    def change(self) -> ResponseReturnValue:
        """Promote or demote a server."""
        name, wanted = request.form.get("node", ""), request.form.get("change", "")
        acts = {"promote": self.pair.promote, "demote": self.pair.demote}
        if name not in self.pair.nodes or wanted not in acts:
            abort(404, "Unknown server or change. Choose one on the page.")
        self._look()
        at, clock = time.monotonic(), datetime.now(UTC)
        try:
            message, status = acts[wanted](name), 200
        except RefusedError as error:
            message, status = str(error), 409
        self._changes.append((at, clock, f"{wanted} {name}" if status == 200 else "", message))  # noqa: PLR2004 - HTTP
        if request.headers.get("Accept") != "application/json":
            return redirect(url_for("failover"), 303)
        return jsonify(message=message), status

    def _look(self) -> None:
        """Have the servers observed, and wait for the first samples."""
        self.watch.keep_on()
        deadline = time.monotonic() + FIRST_WAIT
        while time.monotonic() < deadline and not all(node.samples for node in self.pair.nodes.values()):
            time.sleep(0.02)

    def _state(self) -> dict[str, Any]:
        self._look()
        attempts = list(self.load.attempts)
        now, waited = time.monotonic(), self.load.waiting()
        longest = max([ended - max(begun, now - AXIS) for begun, ended in pauses(attempts, now)], default=0.0)
        marks = [(at, name) for at, _, name, _ in self._changes if name and at > now - KEPT]
        return {
            "nodes": {node.name: self._node(node) for node in self.pair.nodes.values()},
            "figures": {
                "acknowledged": f"{self.load.acknowledged:,}",
                "lost": f"{self.load.lost:,}",
                "failed": f"{self.load.failed:,}",
                "longest": f"{longest:.1f} s" if longest else "under 0.5 s",
            },
            "lost": self.load.lost > 0,
            "waiting": f"A transfer has waited for {waited:.0f} s." if waited > 1 else "",
            "picture": Markup(draw(self.pair, attempts, marks)),  # noqa: S704 - `draw` escapes texts
            "changes": [[f"{clock:%H:%M:%S}", message] for _, clock, _, message in reversed(self._changes)],
        }

    def _node(self, node: Node) -> dict[str, Any]:
        now, other = node.now, self.pair.other(node.name).now
        lags = self.pair.lag(node.name)
        lag = lags[-1] if lags and now.role is Role.STANDBY and other.role is not Role.AWAY else None
        hint, command = _advice(node.name, now.role, other.role)
        return {
            "role": now.role,
            "kind": KINDS[now.role],
            "position": size(now.position) if now.role is not Role.AWAY else NONE,
            **_lag(lag),
            "waits": ("yes" if now.waits else "no") if now.role is Role.PRIMARY else NONE,
            "hint": hint,
            "command": command,
            "can_promote": now.role in {Role.STANDBY, Role.DEMOTED} and other.role is not Role.PRIMARY,
            "can_demote": now.role is Role.PRIMARY,
        }


def _lag(lag: Lag | None) -> dict[str, str]:
    return {"lag": size(lag.size) if lag else NONE, "late": f"{lag.seconds:.1f} s" if lag else NONE}


def _advice(name: str, role: Role, other: Role) -> tuple[str, str]:
    """Return a sentence about what a visitor can do with a server, and a command for its terminal."""
    hint, command = ADVICE.get((role, other)) or ADVICE[role, None]
    return hint, command if command == START else f"docker compose {command} {name}"
