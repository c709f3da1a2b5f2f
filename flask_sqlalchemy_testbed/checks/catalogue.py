"""The catalogue of failures that users reported; checks refer to them by their numbers."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """A way in which a binding or a session fails."""

    failure: str
    """The symptom that users saw, in one sentence."""
    thread: str = ""
    """The public report as `owner/repository#number`, or the URL of a page; empty if there is none."""

    @property
    def url(self) -> str:
        """Return the URL of the report; empty if there is none."""
        project, hash_, number = self.thread.partition("#")
        return f"https://github.com/{project}/issues/{number}" if hash_ else self.thread


def reported(cases: Iterable[int]) -> list[Case]:
    """Return the cases with these numbers, without numbers that the catalogue lacks.

    Args:
        cases: The numbers, in the order of the result.
    """
    return [CASES[number] for number in cases if number in CASES]


FSA, SA = "pallets-eco/flask-sqlalchemy", "sqlalchemy/sqlalchemy"
SKYPILOT, POSTGRES_MCP = "skypilot-org/skypilot", "crystaldba/postgres-mcp"
LOOKUP, PYTEST_FSA = "vulnerability-lookup/vulnerability-lookup", "jeancochrane/pytest-flask-sqlalchemy"
CASES = {
    1: Case("One app silently reads another app's database.", "level12/keg#96"),
    2: Case("After a rebind, sessions in use continue with the old engine.", "Pylons/webtest#5"),
    3: Case("A URI that worked means another driver after an upgrade.", "jupyterhub/jupyterhub#5275"),
    4: Case("The server runs out of connections: too many clients already.", "apache/airflow#65941"),
    5: Case("Connections survive dispose() and belong to no pool.", f"{LOOKUP}#588"),
    6: Case("Forked workers share one connection and read each other's results.", "nautobot/nautobot#127"),
    7: Case("A test suite runs against the development database.", f"{FSA}#1172"),
    8: Case("A password that contains @ or / leads to another host.", f"{SA}#11027"),
    9: Case("A second engine logs in with *** for a password.", "miguelgrinberg/Flask-Migrate#506"),
    10: Case("An in-memory database has no tables in another thread.", "flwrlabs/flower#7148"),
    11: Case("Started from another directory, the app uses another, empty database."),
    12: Case("The app does not start while its database is down.", "google/timesketch#3263"),
    13: Case("Log-in to MySQL 8 fails: 'cryptography' package is required.", "PyMySQL/PyMySQL#768"),
    15: Case("Some requests leak their connections, until the pool is empty.", f"{FSA}#339"),
    16: Case(
        "An async view runs in another thread: the wrong session is removed, and the pool runs dry.",
        "vantage6/vantage6#2656",
    ),
    17: Case(
        "A streamed body opens a session that nothing ends, after its request.", "openculinary/backend#65"
    ),
    18: Case("While a stream is held open, later requests are not torn down.", "pallets/flask#6123"),
    19: Case("A teardown callback that raises prevents the removal of the session.", "pallets/flask#1767"),
    20: Case("The end of an inner context removes the session of the outer one.", f"{FSA}#508"),
    21: Case("The next request sees uncommitted rows.", "jarus/flask-testing#32"),
    22: Case("A context is torn down twice, or an object is detached too early.", "pallets/flask#2949"),
    23: Case("A background thread stays idle in transaction.", "morpheus65535/bazarr#3556"),
    24: Case("A command ends, but its session does not.", f"{FSA}#531"),
    25: Case("After a failed flush every query raises PendingRollbackError.", "jfinkels/flask-restless#449"),
    26: Case("A second error in the error handler hides the first.", "psycopg/psycopg2#1779"),
    27: Case("Objects are detached, or continue to use a session that has ended.", f"{PYTEST_FSA}#27"),
    28: Case(
        "Sessions flush and expire at other times than their users expect.",
        "https://docs.sqlalchemy.org/en/21/changelog/migration_21.html",
    ),
    29: Case("Half of the work is committed although the request failed.", f"{FSA}#216"),
    30: Case("A session kept from start-up breaks once, and stays broken.", "pallets-eco/flask-admin#2953"),
    31: Case(
        "A request sees outdated objects that an earlier request loaded.", "conda-incubator/conda-store#105"
    ),
    32: Case("Under gevent, requests share a session, or wait for each other.", "canonical/ubuntu.com#11211"),
    33: Case("Listeners are called twice, or cannot be registered."),
    34: Case("Rows that were rolled back are in the database.", "new-usemame/Calibre-Web-NextGen#1873"),
    35: Case("drop_all() hangs behind a session that is open.", f"{SA}#4685"),
    36: Case("After one error all statements fail until a rollback.", "ema/flask-moresql#4"),
    37: Case("Rows that others committed are not visible.", f"{SA}#5306"),
    38: Case("A deadlock's victim is retried without a rollback, and fails again.", "opennem/opennem#566"),
    39: Case("CREATE TABLE commits rows that should be rolled back.", "4teamwork/opengever.core#1517"),
    40: Case("Orphans are inserted: foreign keys are not checked.", "NorthlandPositronics/Cogtrix#2201"),
    41: Case("The database is locked by a transaction that was never ended.", "savelov/radar-wms#30"),
    42: Case("Text is truncated silently, or refused only on another database.", "CCI-MOC/hil#374"),
    43: Case("'abc' and 'ABC' are equal on one database only.", "techouse/sqlite3-to-mysql#26"),
    44: Case("Emoji are stored as question marks.", "movim/movim#1042"),
    45: Case("Fractions of seconds are lost.", "dropbox/merou#446"),
    46: Case("Times are returned with an offset of hours.", "MemMachine/MemMachine#1558"),
    47: Case("Code reads the generated key from an attribute that is not set.", "DIRACGrid/diracx#378"),
    48: Case("NULLs are first on one database and last on another.", "litestar-org/advanced-alchemy#783"),
    49: Case("Values are returned changed, or do not fit.", "keylime/keylime#532"),
    50: Case("After a restart of the database, the next requests fail.", f"{FSA}#1177"),
    51: Case('"Can\'t reconnect until invalid transaction is rolled back", permanently.', f"{FSA}#1238"),
    52: Case("A connection is lost inside a transaction.", f"{SA}#5657"),
    53: Case('"MySQL server has gone away" after an idle night.', f"{FSA}#449"),
    54: Case("The driver's next version changes the arguments of ping().", f"{SA}#13313"),
    55: Case('"QueuePool limit reached": requests wait, and the app never recovers.', f"{FSA}#339"),
    56: Case("The network drops packets, and the app waits forever.", "mozilla-ai/clawbolt#1138"),
    57: Case("After a failover, the pool stays connected to the old server.", f"{SA}#7839"),
    58: Case("The server is shut down during a query, and the dead connection is kept."),
    59: Case("A timeout of the server ends more than the statement.", "level12/pals#28"),
    60: Case("The app does not recover after the disk was full.", "chroma-core/chroma#1693"),
    65: Case("The rows of a test are visible in the next test.", "pytest-dev/pytest-flask#70"),
    66: Case("Objects of a fixture are detached by the first request.", f"{PYTEST_FSA}#18"),
    67: Case("A worker that continues to query blocks the end of the tests.", f"{LOOKUP}#592"),
    68: Case("Tests that run in parallel share a database.", "dbfixtures/pytest-postgresql#470"),
    69: Case("Tests pass once, and fail later because generated keys continue.", "mferretti/SeedStream#217"),
    70: Case("The garbage collector finds unclosed connections and warns.", f"{FSA}#1419"),
    71: Case("A setting of the connection is gone after its first rollback.", "karanhudia/borg-ui#892"),
    72: Case("A teardown callback uses the session again after its removal: nothing ends it."),
    73: Case("A request that ends with SystemExit, or with a server's timeout, keeps its session."),
    74: Case("The first requests of a process come at once, and each makes an engine.", f"{SKYPILOT}#6422"),
    75: Case('"A transaction is already begun on this Session" in a view that begins one.', f"{FSA}#973"),
    76: Case("Tables have the storage engine MyISAM: a rollback undoes nothing.", "mozilla/zamboni#469"),
    77: Case("Tables that the app creates cannot store the texts that the server's other tables can."),
    78: Case("A request reads rows that another one rolls back later."),
    79: Case(
        "Settings and locks of one request are still on its connection in the next.", f"{POSTGRES_MCP}#203"
    ),
    80: Case("The driver gives up before the server: the statement still waits there, and holds its locks."),
    81: Case("A thread that a request started in its context outlives it, and opens a session again."),
    82: Case("A table works on SQLite, and another database cannot create it.", "Scifabric/pybossa#222"),
    83: Case("Migrations fail on an empty database of another kind.", "c2siorg/tensormap#378"),
    84: Case(
        "Closing the cursor of a streamed result reads all of its rows first.", "PyMySQL/mysqlclient#560"
    ),
    85: Case("After a lock wait timeout, the rest of the transaction is committed.", "redaxo/core#5719"),
    86: Case("A session that was made with options, in a body that runs after its request, never ends."),
    87: Case(
        "While a table is changed all requests hang: they wait for its lock without a limit.",
        "magento/magento2#19220",
    ),
}
