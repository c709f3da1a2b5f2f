"""A trial that is switched off has no harmful scenario and records no event."""

import re
from pathlib import Path

import pytest

from app.database import session_removed
from flask_sqlalchemy_testbed.backends.base import Backend
from tests.trials.conftest import Visitor
from trials import tape
from trials.wsgi import create_trial


def test_a_trial_that_is_off_has_no_scenarios(
    visitor_without_trials: Visitor, testbed_backend: Backend
) -> None:
    visitor = visitor_without_trials
    page = visitor.get("/").text

    assert not re.search("scenario|leak|Let it go", page, re.IGNORECASE)
    for path in ("/scenarios", "/leaks"):
        assert visitor.post(path, scenario="commit").status_code == 404
    for path in (f"/{testbed_backend.name}/trial/commit", "/checks/lifecycle.thread"):
        assert visitor.get(path).status_code == 404
    assert not [rule for rule in visitor.mounted.app.url_map.iter_rules() if "trial" in rule.rule]


def test_a_trial_that_is_off_has_the_ledger_and_the_status(visitor_without_trials: Visitor) -> None:
    visitor = visitor_without_trials
    answer = visitor.post("/ledger", operation="open-account", owner="Ada", currency="EUR", balance="1")

    assert "201 CREATED" in visitor.get(answer.location).text
    assert visitor.state()["reachable"]


@pytest.mark.parametrize(
    ("config", "recorded"), [("TRIALS = True", True), ("TRIALS = False", False), ("", False)]
)
def test_only_a_trial_that_is_on_records_events(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str, *, recorded: bool
) -> None:
    (tmp_path / "trial.cfg").write_text(config)
    monkeypatch.setenv("TRIAL_CONFIG", str(tmp_path / "trial.cfg"))
    monkeypatch.delenv("TRIAL_BACKENDS", raising=False)
    try:
        create_trial()
        assert (bool(session_removed.receivers), bool(tape._recorders)) == (recorded, recorded)  # noqa: SLF001
    finally:
        tape.stop_listening()
    assert not session_removed.receivers
