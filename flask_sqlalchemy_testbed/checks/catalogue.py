"""The catalogue: what users met, and where they told of it. A check covers cases by their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Case:
    """A way in which a binding or a session goes wrong."""

    met: str
    """What users met, in one sentence."""
    where: str = ""
    """The public thread, as `owner/repository#number`, or a page; nothing where there is none."""

    @property
    def url(self) -> str:
        """Where to read more."""
        project, hash_, number = self.where.partition("#")
        return f"https://github.com/{project}/issues/{number}" if hash_ else self.where


def told_of(cases: Iterable[int]) -> list[Case]:
    """The cases of these numbers that the catalogue has, in their order."""
    return [CASES[number] for number in cases if number in CASES]


FSA, SA = "pallets-eco/flask-sqlalchemy", "sqlalchemy/sqlalchemy"
CASES = {
    1: Case("One app silently reads another app's database.", "level12/keg#96"),
    2: Case("Sessions that are in use go on with the old engine after a rebind.", "Pylons/webtest#5"),
    3: Case("A URI that worked means another driver after an upgrade.", "jupyterhub/jupyterhub#5275"),
    4: Case("The server runs out of connections: too many clients already.", "apache/airflow#65941"),
    5: Case(
        "Connections survive dispose() and are in no pool any more.",
        "vulnerability-lookup/vulnerability-lookup#588",
    ),
    6: Case("Forked workers share one connection and read each other's answers.", "nautobot/nautobot#127"),
    7: Case("A test suite runs against the development database.", f"{FSA}#1172"),
    8: Case("A password with @ or / in it leads to another host.", f"{SA}#11027"),
    9: Case("A second engine logs in with *** for a password.", "miguelgrinberg/Flask-Migrate#506"),
    10: Case("A database in memory has no tables in another thread.", "flwrlabs/flower#7148"),
    11: Case("The app has another, empty database when it is started from another directory."),
    12: Case("The app does not start while its database is down.", "google/timesketch#3263"),
    13: Case("Nobody can log in to MySQL 8: 'cryptography' package is required.", "PyMySQL/PyMySQL#768"),
    15: Case("Connections leak on some ways out of a request, until the pool is empty.", f"{FSA}#339"),
    16: Case(
        "An async view runs in another thread: the wrong session is removed, and the pool runs dry.",
        "vantage6/vantage6#2656",
    ),
    17: Case(
        "A streamed body opens a new session after its request, which nobody ends.",
        "openculinary/backend#65",
    ),
    18: Case("After a stream that is held open, later requests are not torn down.", "pallets/flask#6123"),
    19: Case("One callback that raises keeps the session from being removed.", "pallets/flask#1767"),
    20: Case("The end of an inner context removes the outer one's session.", f"{FSA}#508"),
    21: Case("The next request sees rows that nobody committed.", "jarus/flask-testing#32"),
    22: Case("A context is torn down twice, or an object is detached too early.", "pallets/flask#2949"),
    23: Case("A background thread stays idle in transaction.", "morpheus65535/bazarr#3556"),
    24: Case("A command ends and its session does not.", f"{FSA}#531"),
    25: Case(
        "After one failed flush every query raises PendingRollbackError.", "jfinkels/flask-restless#449"
    ),
    26: Case("A second error in the error handler hides the first.", "psycopg/psycopg2#1779"),
    27: Case(
        "Objects are detached, or go on using a session that has ended.",
        "jeancochrane/pytest-flask-sqlalchemy#27",
    ),
    28: Case(
        "Sessions flush and expire otherwise than their users think.",
        "https://docs.sqlalchemy.org/en/21/changelog/migration_21.html",
    ),
    29: Case("Half of the work is committed though the request failed.", f"{FSA}#216"),
    30: Case("A session kept from start-up breaks once, and stays broken.", "pallets-eco/flask-admin#2953"),
    31: Case("A request sees what another one had loaded, out of date.", "conda-incubator/conda-store#105"),
    33: Case("Listeners are called twice, or cannot be registered."),
    34: Case("Rolled back rows are in the database all the same.", "new-usemame/Calibre-Web-NextGen#1873"),
    35: Case("drop_all() hangs behind a session that is open.", f"{SA}#4685"),
    36: Case("After one error all statements fail until a rollback.", "ema/flask-moresql#4"),
    37: Case("What others have committed is not seen.", f"{SA}#5306"),
    38: Case("A deadlock's victim is retried without a rollback, and fails again.", "opennem/opennem#566"),
    39: Case("CREATE TABLE commits what was to be rolled back.", "4teamwork/opengever.core#1517"),
    40: Case("Orphans are inserted: foreign keys are not checked.", "NorthlandPositronics/Cogtrix#2201"),
    41: Case("The database is locked by a writer that nobody ended.", "savelov/radar-wms#30"),
    42: Case("Text is cut off without a word, or refused only on another database.", "CCI-MOC/hil#374"),
    43: Case("'abc' and 'ABC' are the same on one database only.", "techouse/sqlite3-to-mysql#26"),
    44: Case("Emoji are stored as question marks.", "movim/movim#1042"),
    45: Case("Fractions of seconds are lost.", "dropbox/merou#446"),
    46: Case("Times come back hours off.", "MemMachine/MemMachine#1558"),
    47: Case("A key that was generated is asked for in a way that means nothing.", "DIRACGrid/diracx#378"),
    48: Case(
        "NULLs are sorted first on one database and last on another.", "litestar-org/advanced-alchemy#783"
    ),
    49: Case("Values come back as others, or do not fit.", "keylime/keylime#532"),
    50: Case("After the database was restarted the next requests fail.", f"{FSA}#1177"),
    51: Case("Can't reconnect until invalid transaction is rolled back: for good.", f"{FSA}#1238"),
    52: Case("A connection is lost in the middle of a transaction.", f"{SA}#5657"),
    53: Case("MySQL server has gone away, after an idle night.", f"{FSA}#449"),
    54: Case("A ping that takes other arguments in the driver's next version.", f"{SA}#13313"),
    55: Case("QueuePool limit reached: requests wait, and never recover.", f"{FSA}#339"),
    56: Case("The network drops packets, and the app waits for ever.", "mozilla-ai/clawbolt#1138"),
    57: Case("After a failover the pool stays with the old server.", f"{SA}#7839"),
    58: Case("The server is shut down during a query, and the connection is kept."),
    59: Case("A time limit of the server ends more than the statement.", "level12/pals#28"),
    60: Case("The disk is full, and the app does not recover when it is not.", "chroma-core/chroma#1693"),
    65: Case("A test's rows are there in the next test.", "pytest-dev/pytest-flask#70"),
    66: Case(
        "Objects of a fixture are detached by the first request.", "jeancochrane/pytest-flask-sqlalchemy#18"
    ),
    67: Case(
        "A worker that goes on querying holds up the end of the tests.",
        "vulnerability-lookup/vulnerability-lookup#592",
    ),
    68: Case("Tests that run at once share a database.", "dbfixtures/pytest-postgresql#470"),
    69: Case("Tests pass once, and fail when keys go on counting.", "mferretti/SeedStream#217"),
    70: Case("Unclosed connections are warned of when the collector finds them.", f"{FSA}#1419"),
}
