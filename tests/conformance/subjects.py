"""Who is compared: the peers, which are ways to bind, and the applications, which were written in them."""

from __future__ import annotations

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .environments import ROOT, environment, lock, versions, wheel

PEERS = Path(__file__).parent / "peers"
APPLICATIONS = ROOT / "tests" / "applications"
# The order in which they are shown.
ORDER = (
    *("app", "flask_sqlalchemy", "flask_sqlalchemy_lite", "advanced_alchemy", "flask_documentation"),
    *("pattern_2010", "pattern_2010_removed", "pattern_2010_on_the_app", "pattern_2010_sessionmaker"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One of them: a folder with what is tried, and `peer.toml` or `application.toml` that tells of it."""

    folder: Path
    title: str
    setup: str
    documentation: str = ""
    versions: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """What the battery is told of it; what is not there, it finds."""
    environment: tuple[str, ...] = ()
    """NAME=value, for what it needs beside its database to start at all."""
    copies: tuple[str, ...] = ()
    """What of this repository it is made of."""
    groups: tuple[str, ...] = ()
    """The groups of this repository's dependencies that it needs."""
    backends: tuple[str, ...] = ("sqlite", "postgresql", "mysql")
    why_not: str = ""
    """Why it is not tried on the others."""

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.folder.name

    @property
    def is_peer(self) -> bool:
        """Whether it is a way to bind, rather than an application."""
        return self.folder.parent == PEERS

    def lay_out(self, where: Path) -> None:
        """Copy what it consists of and is not installed; nothing else of this repository is near then."""
        if (self.folder / "pyproject.toml").exists():
            where.mkdir()
            return
        shutil.copytree(
            self.folder, where, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        )
        for name in self.copies:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, where / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (where / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, where / name)

    def install(self, testbed: Path, wheels: Path) -> tuple[Path, dict[str, str]]:
        """Its environment's Python, and the versions of what it is about."""
        own = [wheel(self.folder, wheels)] if (self.folder / "pyproject.toml").exists() else []
        python = environment(self.name, self.folder / "requirements.txt", [testbed, *own])
        return python, versions(python, self.versions)

    def lock(self) -> None:
        """Choose the versions in its requirements.txt anew."""
        pyproject = self.folder / "pyproject.toml"
        inputs = [str(pyproject)] if pyproject.exists() else [str(self.folder / "requirements.in")]
        lock([*inputs, *(f"--group={group}" for group in self.groups)], self.folder / "requirements.txt")


def found() -> list[Subject]:
    """All of them."""
    told = [*PEERS.glob("*/peer.toml"), *APPLICATIONS.glob("*/application.toml")]
    subjects = [_read(path) for path in sorted(told)]
    return sorted(subjects, key=lambda it: (not it.is_peer, ORDER.index(it.name) if it.is_peer else 0))


def _read(path: Path) -> Subject:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Subject(folder=path.parent, **fields)
