"""Removes passwords from text that leaves the process."""

from __future__ import annotations

import re

# Of a statement or a message; what is longer loses its middle.
LONGEST = 600


_PASSWORDS = re.compile(
    r"(?P<uri>://[^:/@\s'\"]*:)[^@/\s]+(?=@)"
    r"|(?P<option>\b(?:password|passwd|pwd)['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&)'\"]+)"
    r"|(?P<clause>\b(?:password|identified\s+by)\s+)(?:'[^']*'|\"[^\"]*\")",
    re.IGNORECASE,
)


def tidy(text: str) -> str:
    """The text on one line, not too long, and without the passwords in it."""
    text = redact(" ".join(text.split()))
    half = LONGEST // 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"


def redact(text: str) -> str:
    """The text with stars for what URIs, options and statements say are passwords."""
    return _PASSWORDS.sub(lambda found: f"{found[found.lastgroup or 0]}***", text)
