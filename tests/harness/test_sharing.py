"""Another process can use a server of this run, given its description."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.servers.sharing import Loan, borrow, lend

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.servers.network import Server


def test_a_description_survives_json_and_hides_the_password(testbed_server: Server) -> None:
    loan = lend(testbed_server)

    assert Loan.from_dict(json.loads(json.dumps(loan.as_dict()))) == loan
    assert "uri=" not in repr(loan)


def test_a_borrowed_server_has_the_same_capabilities_and_outlives_its_close(testbed_server: Server) -> None:
    name = new_name()
    with contextlib.closing(borrow(lend(testbed_server))) as borrowed:
        borrowed.create(name)
        database = Database(borrowed.backend, borrowed.locate(name))
        assert database.connection.rows("SELECT 1") == [(1,)]
        database.connection.close()
        borrowed.drop(name)

    assert borrowed.capabilities == testbed_server.capabilities
    testbed_server.create(name)
    testbed_server.drop(name)
