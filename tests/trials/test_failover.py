"""The page of the failover without a pair: its picture, its refusals, its clients. tests/stack has a pair."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from types import SimpleNamespace

import pytest

from app import create_app
from app.database import get_engine
from tests.trials.conftest import ORIGIN, Reader, Visitor
from trials.failover import nodes
from trials.failover.load import ACCOUNTS, Attempt, Load
from trials.failover.nodes import Node, Pair, RefusedError, Role, Sample
from trials.failover.picture import draw, pauses, size
from trials.failover.views import Failover
from trials.wsgi import serve

NOWHERE = "postgresql://testbed@127.0.0.1:1/testbed"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(NOWHERE, tmp_path / "password")


@pytest.fixture
def load(database_uri: str) -> Iterator[Load]:
    app = create_app({"DATABASE_URI": database_uri})
    yield Load(app)
    with app.app_context():
        get_engine().dispose()


@pytest.fixture
def failover(tmp_path: Path) -> Iterator[Failover]:
    """Return the page of a pair that was not started."""
    password = tmp_path / "password"
    password.write_text("secret", encoding="ascii")
    failover = Failover(NOWHERE, str(password), str(password))
    yield failover
    failover.watch.stop()
    with failover.app.app_context():
        get_engine().dispose()


def observe(node: Node, *samples: tuple[float, Role, int]) -> None:
    """Add samples, each so many seconds ago."""
    now = time.monotonic()
    node.samples.extend(Sample(now - ago, role, position) for ago, role, position in samples)


def test_without_a_pair_there_is_no_page_of_the_failover(visitor: Visitor) -> None:
    assert visitor.get("/failover").status_code == 404
    assert "/failover" not in visitor.get("/").text


def test_a_pair_that_was_not_started_shows_how_to_start_it(failover: Failover) -> None:
    page = Reader(serve({}, trials=True, failover=failover)).get("/failover", base_url=ORIGIN).text

    assert page.count("docker compose --profile failover up --build --wait") == 2
    assert page.count(">not reachable<") >= 2
    assert not re.search(r"<button(?![^>]* disabled)", page)


def test_a_change_without_the_token_of_the_page_is_refused(failover: Failover) -> None:
    client = Reader(serve({}, trials=True, failover=failover))

    form = {"change": "promote", "node": "first"}
    assert client.post("/failover", data=form, base_url=ORIGIN).status_code == 403


def test_a_server_is_not_promoted_while_the_other_one_takes_writes(pair: Pair) -> None:
    observe(pair.nodes["first"], (0.1, Role.PRIMARY, 10))
    observe(pair.nodes["second"], (0.1, Role.STANDBY, 10))

    with pytest.raises(RefusedError, match=r"first takes writes\. Demote or kill it first\."):
        pair.promote("second")
    with pytest.raises(RefusedError, match="second is no primary"):
        pair.demote("second")


def test_a_demotion_ends_when_the_samples_show_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    first = pair.nodes["first"]
    observe(first, (0.1, Role.PRIMARY, 10))
    observe(pair.nodes["second"], (0.1, Role.STANDBY, 10))
    answers = {nodes.STILL_WRITE: 0, nodes.POSITION: "0/A", nodes.RECEIVED.format("0/A"): True}
    later = Timer(0.3, observe, [first, (0.0, Role.DEMOTED, 10)])
    connection = SimpleNamespace(
        rows=lambda query: [(answers[query],)], run=lambda _: later.start(), close=lambda: None
    )
    monkeypatch.setattr(Node, "connect", lambda _: connection)

    message = pair.demote("first")

    assert first.now.role is Role.DEMOTED, message


def test_a_server_that_has_not_answered_for_a_while_is_away(pair: Pair) -> None:
    observe(pair.nodes["first"], (3.0, Role.PRIMARY, 10))

    assert pair.nodes["first"].now.role is Role.AWAY
    with pytest.raises(RefusedError, match="first does not answer"):
        pair.promote("first")


def test_the_lag_is_that_to_what_the_primary_had_written_before(pair: Pair) -> None:
    observe(pair.nodes["first"], (4.0, Role.PRIMARY, 1000), (2.0, Role.PRIMARY, 5000))
    observe(pair.nodes["second"], (3.0, Role.STANDBY, 1000), (1.0, Role.STANDBY, 1500))

    assert [lag.size for lag in pair.lag("second")] == [0, 3500]
    assert pair.lag("first") == []


def test_the_picture_has_roles_lag_transfers_pauses_and_changes_on_one_axis(pair: Pair) -> None:
    now = time.monotonic()
    observe(pair.nodes["first"], *((ago / 5, Role.PRIMARY, 9000) for ago in range(50, 25, -1)))
    observe(pair.nodes["first"], *((ago / 5, Role.AWAY, 0) for ago in range(25, 0, -1)))
    observe(pair.nodes["second"], *((ago / 5, Role.STANDBY, 1000) for ago in range(50, 10, -1)))
    observe(pair.nodes["second"], *((ago / 5, Role.PRIMARY, 2000) for ago in range(10, 0, -1)))
    ended = [9.0, 8.9, 8.8, 1.0, 0.2]
    attempts = [Attempt(now - ago - 0.1, now - ago, acknowledged=ago != 1.0) for ago in ended]
    picture = draw(pair, attempts, [(now - 2.0, "promote second")])

    for role in ("primary", "not-reachable"):
        assert f'<rect class="role {role}"' in picture
    assert picture.count("<title>second: standby</title>") == 1
    assert '<rect class="lag"' in picture
    assert '<rect class="acknowledged"' in picture
    assert '<rect class="failed"' in picture
    assert "8.6 s without a transfer" in picture
    assert ">promote second</text>" in picture
    assert "style=" not in picture


def test_a_pause_that_goes_on_counts() -> None:
    attempts = [Attempt(0.0, 1.0, acknowledged=True), Attempt(1.0, 5.0, acknowledged=False)]

    assert pauses(attempts, now=6.0) == [(1.0, 6.0)]


def test_sizes_have_units() -> None:
    assert [size(count) for count in (0, 999, 1500, 65_536, 12_000_000)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "66 kB",
        "12 MB",
    ]


def test_clients_transfer_between_accounts_of_their_own_and_count_what_is_stored(load: Load) -> None:
    send = load.works()[0]
    for _ in range(3):
        send()
    load.count()

    assert (load.acknowledged, load.failed, load.lost) == (3, 0, 0)
    assert len(load.accounts(0)) == ACCOUNTS


def test_transfers_that_are_not_stored_count_as_lost(load: Load) -> None:
    send = load.works()[0]
    for _ in range(2):
        send()
    load.note(Attempt(0.0, 1.0, acknowledged=True))
    load.count()

    assert load.lost == 1


def test_clients_open_new_accounts_if_theirs_are_gone(load: Load) -> None:
    send = load.works()[0]
    send()
    load.accounts(0)[:] = [1_000_000, 1_000_001]
    send()
    send()

    assert len(load.accounts(0)) == ACCOUNTS
    assert (load.acknowledged, load.failed) == (1, 0)
