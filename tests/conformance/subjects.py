"""Describe the subjects: the peers, which are ways to bind, and the applications."""

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .environments import ROOT, environment, lock, versions, wheel

PEERS = Path(__file__).parent / "peers"
APPLICATIONS = ROOT / "tests" / "applications"
# The order on the page.
ORDER = (
    *("app", "flask_sqlalchemy", "flask_sqlalchemy_lite", "advanced_alchemy", "flask_documentation"),
    *("pattern_2010", "pattern_2010_removed", "pattern_2010_on_the_app", "pattern_2010_sessionmaker"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A folder with a peer or an application.

    Its `peer.toml` or `application.toml` describes it.
    """

    folder: Path
    title: str
    setup: str
    documentation: str = ""
    versions: tuple[str, ...] = ()
    """Packages whose versions the page shows."""
    options: tuple[str, ...] = ()
    """Options of the command that it does not find by itself."""
    copies: tuple[str, ...] = ()
    """Files and folders of this repository that the subject uses."""
    groups: tuple[str, ...] = ()
    """Groups of this repository's dependencies that the subject needs."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that the subject needs."""

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.folder.name

    @property
    def is_peer(self) -> bool:
        """Return whether the subject is a way to bind; otherwise it is an application."""
        return self.folder.parent == PEERS

    @property
    def is_installed(self) -> bool:
        """Return whether the subject is a distribution, which has to be installed."""
        return (self.folder / "pyproject.toml").exists()

    def copy_files(self, to: Path) -> None:
        """Copy the files that are not installed into a new folder, away from this repository."""
        if self.is_installed:
            to.mkdir()
            return
        ignore = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        shutil.copytree(self.folder, to, ignore=ignore)
        for name in self.copies:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, to / name, ignore=ignore)
            else:
                (to / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, to / name)

    def install(self, testbed: Path, wheels: Path) -> tuple[Path, dict[str, str]]:
        """Make the environment; return its Python and the versions that the page shows."""
        own = [wheel(self.folder, wheels)] if self.is_installed else []
        python = environment(self.name, self.folder / "requirements.txt", [testbed, *own])
        return python, versions(python, self.versions)

    def lock(self) -> None:
        """Choose the newest versions for the subject's requirements.txt."""
        source = self.folder / ("pyproject.toml" if self.is_installed else "requirements.in")
        groups = [f"--group={group}" for group in self.groups]
        lock([str(source), *groups], self.folder / "requirements.txt")


def find_subjects() -> list[Subject]:
    """Return the peers, then the applications."""
    descriptions = [*PEERS.glob("*/peer.toml"), *APPLICATIONS.glob("*/application.toml")]
    subjects = [_read(path) for path in sorted(descriptions)]
    return sorted(subjects, key=_position)


def _position(subject: Subject) -> tuple[bool, int]:
    return not subject.is_peer, ORDER.index(subject.name) if subject.is_peer else 0


def _read(path: Path) -> Subject:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Subject(folder=path.parent, **fields)
