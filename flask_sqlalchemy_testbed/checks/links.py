"""Link to the page that describes each check."""

from __future__ import annotations

import functools

from flask_sqlalchemy_testbed.checks.claims import CHECKS

# The label of the page in the metadata of the package, in `[project.urls]`; until the project has an address,
# links are relative to its folder.
LABEL, PAGE = "Checks", "docs/checks.md"
DISTRIBUTION = "flask-sqlalchemy-testbed"


def anchor(check: str) -> str:
    """Return the anchor that Markdown gives to the heading of a check.

    Args:
        check: The id.
    """
    return check.replace(".", "")


def link(check: str) -> str:
    """Return the place of a check's description: a URL if the project has one, else a path.

    Args:
        check: The id; a check of a user's own has no description, and the result is empty.
    """
    return f"{page_url() or PAGE}#{anchor(check)}" if check in CHECKS else ""


@functools.cache
def page_url() -> str:
    """Return the URL of the page from the metadata of the installed package; empty if it names none."""
    from importlib.metadata import PackageNotFoundError, metadata  # noqa: PLC0415 - on use

    try:
        urls = metadata(DISTRIBUTION).get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    return next((url.strip() for label, _, url in (one.partition(",") for one in urls) if label == LABEL), "")
