"""Link to the page that describes each check."""

from __future__ import annotations

import functools

from flask_sqlalchemy_testbed.checks.claims import CHECKS

# The label of the page in the metadata of the package, in `[project.urls]`.
LABEL = "Checks"
DISTRIBUTION = "flask-sqlalchemy-testbed"


def anchor(check: str) -> str:
    """Return the anchor that Markdown gives to the heading of a check.

    Args:
        check: The id.
    """
    return check.replace(".", "")


def link(check: str) -> str:
    """Return the URL of a check's description; until the project has one, the command that prints it.

    Args:
        check: The id; a check of a user's own has no description, and the result is empty.
    """
    if check not in CHECKS:
        return ""
    return f"{page_url()}#{anchor(check)}" if page_url() else f"{DISTRIBUTION} --explain {check}"


@functools.cache
def page_url() -> str:
    """Return the URL of the page from the metadata of the installed package; empty if it names none."""
    from importlib.metadata import PackageNotFoundError, metadata  # noqa: PLC0415 - on use

    try:
        urls = metadata(DISTRIBUTION).get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    return next((url.strip() for label, _, url in (one.partition(",") for one in urls) if label == LABEL), "")
