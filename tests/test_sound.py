"""The battery raises no false alarm on bindings that are unusual and right."""

import os
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.servers.network import Server
from tests.lent import written
from tests.meeting import false_alarms, lean
from tests.power import checks
from tests.specimens.catalogue import SOUND


@pytest.mark.parametrize("name", SOUND)
def test_no_check_fails_on_a_sound_binding(name: str, testbed_server: Server, tmp_path: Path) -> None:
    environment = {**os.environ, **written(tmp_path / "loans", [testbed_server])}
    running = [check.id for check in checks() if not check.stops_server]

    alarms = false_alarms(name, testbed_server.backend.name, lean(environment, str(tmp_path)), running)
    assert alarms == []
