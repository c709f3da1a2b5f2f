"""The capability of a backend and the description of its pairs belong together."""

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.replication import REPLICATION


def test_each_backend_that_replicates_is_described() -> None:
    assert REPLICATION.keys() == {
        name for name, backend in BACKENDS.items() if "replicates" in backend.capabilities
    }
