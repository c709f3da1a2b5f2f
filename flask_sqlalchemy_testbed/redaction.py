"""Remove passwords from text that leaves the process."""

from __future__ import annotations

import re

# Characters; a longer text loses its middle.
MAX_LENGTH = 600


_PASSWORDS = re.compile(
    r"(?P<uri>://[^:/@\s'\"]*:)[^@/\s]+(?=@)"
    r"|(?P<option>\b(?:password|passwd|pwd)['\"]?\s*[=:]\s*)(?:'[^']*'|\"[^\"]*\"|[^\s,;&)'\"]+)"
    r"|(?P<clause>\b(?:password|identified\s+by)\s+)(?:'[^']*'|\"[^\"]*\")",
    re.IGNORECASE,
)


def tidy(text: str) -> str:
    """Return the text on one line, without passwords, and without its middle if it is long.

    Args:
        text: A statement or a message.

    Returns:
        At most `MAX_LENGTH` characters and the mark of what was left out.
    """
    text = redact(" ".join(text.split()))
    half = MAX_LENGTH // 2
    return text if len(text) <= MAX_LENGTH else f"{text[:half]} … {text[-half:]}"


def redact(text: str) -> str:
    """Return the text with stars in place of passwords.

    Args:
        text: Any text; passwords are found in URIs, in options such as `password=...`, and in SQL such as
            `IDENTIFIED BY '...'`.

    Returns:
        The text, otherwise unchanged.
    """
    return _PASSWORDS.sub(lambda found: f"{found[found.lastgroup or 0]}***", text)
