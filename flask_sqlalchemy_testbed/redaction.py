"""Remove passwords from text that leaves the process.

A password is replaced by stars where its value is known, and where the text says that it is one.
"""

from __future__ import annotations

import base64
import functools
import html
import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

# Characters; a longer text loses its middle.
MAX_LENGTH = 600
STARS = "***"
# Of the throwaway servers, whose ports are open to this machine only: it may be shown.
THROWAWAY_PASSWORD = "testbed"  # noqa: S105 - see above
# In messages that say how to write a URI.
EXAMPLE = "://user:password"
# A shorter known password, or one of letters alone, may be a part of other words.
LONG = 8

# All repetitions are bounded: a log of megabytes must not take minutes.
_NAME = r"[\w.-]{0,60}(?:password|passwd|pwd)"
# A quote inside is doubled or has a backslash. Without its end, it ends with the line.
_LITERAL = r"""'(?:[^'\\]|''|\\.){0,999}'|"(?:[^"\\]|""|\\.){0,999}"|['"][^\n]{0,999}"""
_IS_PASSWORD = re.compile(f"(?!(?:OLD)?PWD$){_NAME}$", re.IGNORECASE)
# Each text that `_pattern` matches contains one of these, and few other texts do.
_SIGN = re.compile("://|identified|passw|pwd|replace", re.IGNORECASE)
# The forms of all known passwords, the longest first, with a pattern for those that may be parts of words.
_known: list[tuple[str, re.Pattern[str] | None]] = []


def know(password: object) -> None:
    """Replace this password by stars from now on, in all its forms.

    Args:
        password: None and an empty password are ignored.
    """
    global _known  # noqa: PLW0603 - replaced as a whole, since other threads read it
    text = str(password or "")
    if text.strip() in {"", THROWAWAY_PASSWORD} or any(text == form for form, _ in _known):
        return
    is_short = len(text) < LONG or text.isalpha()
    found = {
        form: re.compile(rf"(?<![^\W_]){re.escape(form)}(?![^\W_])") if is_short else None
        for form in _forms(text)
    }
    _known = sorted({**found, **dict(_known)}.items(), key=lambda form: -len(form[0]))


def tidy(text: str) -> str:
    """Return the text on one line, without passwords, and without its middle if it is long.

    Args:
        text: A statement or a message.

    Returns:
        At most `MAX_LENGTH` characters and the mark of what was left out.
    """
    # Passwords first: folded or cut, they could not be found.
    text = " ".join(redact(text).split())
    half = MAX_LENGTH // 2
    return text if len(text) <= MAX_LENGTH else f"{text[:half]} … {text[-half:]}"


def redact(text: str) -> str:
    """Return the text with stars in place of passwords.

    Args:
        text: Any text. Known passwords are found by their values; others in URIs, in SQL such as
            `IDENTIFIED BY '...'`, and as the value of a name that ends in PASSWORD, PASSWD or PWD.

    Returns:
        The text, otherwise unchanged.
    """
    know_environment()
    for form, pattern in _known:
        if form in text:
            text = pattern.sub(STARS, text) if pattern else text.replace(form, STARS)
    return _pattern().sub(_starred, text) if _SIGN.search(text) else text


def redact_all(value: Any) -> Any:
    """Return a copy of a document in which each text is redacted.

    Args:
        value: A text, or dictionaries, lists and tuples of texts and other values.
    """
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_all(inner) for key, inner in value.items()}
    return type(value)(map(redact_all, value)) if isinstance(value, (list, tuple)) else value


@functools.cache
def know_environment() -> None:
    """Know the passwords of the environment: in URIs, and under the name of a password.

    Once, before the first text is redacted.
    """
    for name, value in os.environ.items():
        if _IS_PASSWORD.match(name):
            know(value)
        for found in _pattern().finditer(value):
            if found["uri"]:
                know(unquote(found["of_uri"]))


@functools.cache
def _pattern() -> re.Pattern[str]:
    """Return the expression that finds passwords by the text around them.

    Its compilation takes 8 ms, which most runs save.
    """
    return re.compile(
        rf"""
        # up to the last @ of the authority; of the word, if an unquoted slash that ends no port comes first
        (?P<uri>://[^:/?\#@\s]{{0,99}}:) (?P<of_uri>(?:[^/?\#\s]{{0,300}}|(?!\d+[/?\#])\S{{0,300}})(?=@))
        | (?P<sql>\b(?:
              identified\s+(?:with\s+\S{{1,60}}\s+)?(?:by|as)(?:\s+password)?\s*
              | (?:password|replace)(?:\s+|\s*\(\s*)
              | set\s+password\s+for\s+\S{{1,99}}\s*=\s*
          ))
          (?P<of_sql>(?:\b[enx]|\b_\w{{1,20}}\s*)?(?:{_LITERAL})
              | \$(?P<tag>\w{{0,60}})\$.{{0,999}}?\$(?P=tag)\$ | 0x[0-9a-f]+)
        # the shell's own variables name a directory; MySQL says whether there was one
        | (?<![\w.-])(?!(?-i:PWD|OLDPWD)=/)(?!password:\s(?:yes|no)\))
          (?P<option>{_NAME}['"]?\s{{0,9}}[=:]\s*)
          (?P<of_option>(?:{_LITERAL})+|[^\s'"]\S*)
        """,
        re.IGNORECASE | re.VERBOSE | re.DOTALL,
    )


def _starred(found: re.Match[str]) -> str:
    kind = next(name for name in ("uri", "sql", "option") if found[name] is not None)
    may_be_shown = found[f"of_{kind}"].strip("'\"") == THROWAWAY_PASSWORD or found[0] == EXAMPLE
    return found[0] if may_be_shown else f"{found[kind]}{STARS}"


def _forms(password: str) -> set[str]:
    """Return the forms of a password in URIs, Python, JSON, SQL, HTML, shells and base64.

    A form of a form is one too, such as the `repr` of an SQL statement.
    """
    once = {password, *_encoded(password)}
    encoded = base64.b64encode(password.encode()).decode()
    return {*once, *(form for each in once for form in _encoded(each)), encoded}


def _encoded(text: str) -> Iterator[str]:
    # The third is SQLAlchemy's.
    for quoted in (quote(text, safe=""), quote(text), quote(text, safe=" +"), quote_plus(text)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield repr(text.encode())[2:-1]
    for ensure_ascii in (True, False):
        yield json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
    escaped = text.replace("\\", "\\\\")
    yield escaped
    yield escaped.replace("'", r"\'")
    yield escaped.replace('"', r"\"")
    yield text.replace("'", "''")
    yield escaped.replace("'", "''")
    yield text.replace('"', '""')
    yield text.replace("'", "'\"'\"'")  # as `shlex.quote`
    escaped = html.escape(text, quote=False)
    yield escaped
    yield html.escape(text)
    yield escaped.replace('"', "&#34;").replace("'", "&#39;")  # as Jinja
