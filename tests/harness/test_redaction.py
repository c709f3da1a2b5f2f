"""No password leaves the process: neither a known one nor one marked by its text."""

import base64
import html
import json
import random
import shlex
import string
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import pytest
from markupsafe import escape
from sqlalchemy import URL

from flask_sqlalchemy_testbed import redaction
from flask_sqlalchemy_testbed.redaction import THROWAWAY_PASSWORD, know, redact, redact_all, tidy

# The characters that the quoting of some language changes are as frequent as all others.
ALPHABET = string.ascii_letters + string.digits + "'\"\\/@:%?#&;=+ $<>`~!()[]{}é\N{SUSHI}" * 3
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in quotes": lambda text: f"'{text}'",
    "repr": repr,
    "repr of a statement": lambda text: repr("SET x = '{}'".format(text.replace("'", "''"))),
    "repr of bytes": lambda text: repr(text.encode()),
    "json": json.dumps,
    "json of a repr": lambda text: json.dumps([repr(text)], ensure_ascii=False),
    "sql": lambda text: "'{}'".format(text.replace("'", "''")),
    "mysql": lambda text: "'{}'".format(text.replace("\\", "\\\\").replace("'", "\\'")),
    "uri": lambda text: f"x://u:{quote(text, safe='')}@h/d",
    "uri without quoting": lambda text: f"x://u:{text}@h/d",
    "form": lambda text: f"a={quote_plus(text)}&b=1",
    "lower hex": lambda text: quote(text, safe="").lower() if text.islower() else quote(text),
    "sqlalchemy": lambda text: URL.create("x", "u", text, "h").render_as_string(hide_password=False),
    "html": html.escape,
    "jinja": lambda text: str(escape(text)),
    "shell": lambda text: f"mysql -p {shlex.quote(text)}",
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
}


@pytest.fixture(autouse=True)
def no_password_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", [])


def passwords(number: int) -> Iterator[str]:
    """Yield passwords of any characters; the seed makes a failure repeatable."""
    chance = random.Random(11)  # noqa: S311 - for tests
    for _ in range(number):
        text = "".join(chance.choices(ALPHABET, k=chance.randint(4, 24))).strip()
        if len(text) > 3:
            yield text


@pytest.mark.parametrize("form", FORMS)
def test_a_known_password_is_starred_in_each_form(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for password in passwords(300):
        monkeypatch.setattr(redaction, "_known", [])
        know(password)
        text = FORMS[form](password)
        bare = text.replace(FORMS[form](""), "") or text

        found = redact(f"before {text} after")
        assert found.startswith("before ")
        assert password not in found
        assert bare not in found
        assert "***" in found


def test_a_short_password_is_starred_only_as_a_word() -> None:
    know("postgres")
    know("1")

    assert redact("postgresql://postgres@h:11/d1 says 1") == "postgresql://***@h:11/d1 says ***"


def test_the_longer_of_two_known_passwords_is_starred_whole() -> None:
    know("abcdefgh1")
    know("abcdefgh1-and-more")

    assert redact("abcdefgh1-and-more") == "***"


@pytest.mark.parametrize("nothing", [None, "", THROWAWAY_PASSWORD])
def test_no_password_and_that_of_throwaway_servers_are_not_known(nothing: str | None) -> None:
    know(nothing)

    assert redact(f"://testbed:{THROWAWAY_PASSWORD}@h flask_sqlalchemy_testbed {nothing}") == (
        f"://testbed:{THROWAWAY_PASSWORD}@h flask_sqlalchemy_testbed {nothing}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("://u:p@ss@h/d", "://u:***@h/d"),
        ("://u:p@ss:w@h:3306/d?x=a@b", "://u:***@h:3306/d?x=a@b"),
        ("://u:p/a#s?s@h/d", "://u:***@h/d"),
        ("://u:p'w@h, ://v:q@i", "://u:***@h, ://v:***@i"),
        ("://:secret@h", "://:***@h"),
        ("http://h:5000/a@b", "http://h:5000/a@b"),
        ("IDENTIFIED BY 'it''s secret'", "IDENTIFIED BY ***"),
        (r"identified by 'it\'s secret' x", "identified by *** x"),
        (
            "IDENTIFIED WITH plugin BY 'a' REPLACE 'b'",
            "IDENTIFIED WITH plugin BY *** REPLACE ***",
        ),
        ("IDENTIFIED WITH x AS 0x1F", "IDENTIFIED WITH x AS ***"),
        ("PASSWORD $a$ it's $a$ LOGIN", "PASSWORD *** LOGIN"),
        ("PASSWORD E'a\\'b' LOGIN", "PASSWORD *** LOGIN"),
        ("PASSWORD('a b')", "PASSWORD(***)"),
        ("SET PASSWORD FOR 'u'@'h' = 'a b'", "SET PASSWORD FOR 'u'@'h' = ***"),
        ("PASSWORD 'cut off", "PASSWORD ***"),
        ("PGPASSWORD=a,b;c psql", "PGPASSWORD=*** psql"),
        ("MYSQL_PWD='a b' mysql", "MYSQL_PWD=*** mysql"),
        ("PGPASSWORD='a'\"'\"'b' psql", "PGPASSWORD=*** psql"),
        ("{'password': 'a b', 'host': 'h'}", "{'password': ***, 'host': 'h'}"),
        ('{"MYSQL_ROOT_PASSWD": "a \\"b", "x": 1}', '{"MYSQL_ROOT_PASSWD": ***, "x": 1}'),
        ("DB_PASSWORD=it's\nHOME=/x", "DB_PASSWORD=***\nHOME=/x"),
        ("PWD=/work\nOLDPWD=/home\nPASSWORD_FILE=/run/x", "PWD=/work\nOLDPWD=/home\nPASSWORD_FILE=/run/x"),
        ('denied (using password: YES)"). Correct', 'denied (using password: YES)"). Correct'),
        ("SELECT password FROM t WHERE name = 'Ada'", "SELECT password FROM t WHERE name = 'Ada'"),
        ("PASSWORD 'testbed'", "PASSWORD 'testbed'"),
        ("Write it as mysql://user:password@host/x.", "Write it as mysql://user:password@host/x."),
    ],
)
def test_a_password_that_the_text_shows_is_starred(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_an_unknown_password_in_sql_or_a_variable_is_starred_whatever_its_characters() -> None:
    for password in passwords(1000):
        doubled, escaped = password.replace("'", "''"), password.replace("\\", "\\\\").replace("'", "\\'")
        assert redact(f"IDENTIFIED BY '{escaped}' end") == "IDENTIFIED BY *** end"
        # A backslash at the end is taken for one of MySQL, which escapes the quote.
        assert redact(f"PASSWORD '{doubled}' end").startswith("PASSWORD ***")
        assert password not in redact(f"PASSWORD '{doubled}' end")
        assert redact(f"PGPASSWORD={shlex.quote(password)} psql").startswith("PGPASSWORD=***")
        assert password not in redact(f"PGPASSWORD={shlex.quote(password)} psql")


@pytest.mark.testbed_within(20)
@pytest.mark.parametrize("text", ["://", "://:", "x://u:a ", "password '", "password $a$", "pwd", "-", "x"])
def test_a_long_text_takes_no_long_time(text: str) -> None:
    assert redact(text * 100_000)


def test_a_password_without_a_slash_need_not_be_quoted_in_a_uri() -> None:
    for password in passwords(1000):
        authority = password.translate(dict.fromkeys(map(ord, " /?#")))
        assert redact(f"://u:{authority}@h/d end") == "://u:***@h/d end"


def test_passwords_are_removed_before_a_text_is_folded_and_cut() -> None:
    know("two  spaces\tand a tab")
    know("x" * 5 + "1" * 20)

    assert tidy("SELECT 'two  spaces\tand a tab'") == "SELECT '***'"
    assert "111" not in tidy(f"{'a' * 290}{'x' * 5 + '1' * 20}{'b' * 400}")


def test_every_text_of_a_document_is_redacted() -> None:
    know("correct horse")

    assert redact_all({"a": ["correct horse", ("x correct horse", 1)], "b": None}) == {
        "a": ["***", ("x ***", 1)],
        "b": None,
    }


def test_the_passwords_of_the_environment_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB_PASSWORD", "from a variable")
    monkeypatch.setenv("SHOP_DATABASE_URL", "mysql://u:in%20a%20uri@h/d")
    redaction.know_environment.cache_clear()

    assert redact("from a variable, in a uri") == "***, ***"
