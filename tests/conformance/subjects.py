"""The subjects: the peers, which are ways to bind, and the applications."""

import shutil
import tomllib
from dataclasses import dataclass
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
    """A folder with what is tested, described by its `peer.toml` or `application.toml`."""

    folder: Path
    title: str
    setup: str
    documentation: str = ""
    versions: tuple[str, ...] = ()
    """Packages whose versions the page shows."""
    options: tuple[str, ...] = ()
    """Options of the command; it finds out the rest."""
    copies: tuple[str, ...] = ()
    """Files and folders of this repository that it uses."""
    groups: tuple[str, ...] = ()
    """Groups of this repository's dependencies that it needs."""

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return self.folder.name

    @property
    def is_peer(self) -> bool:
        """Return whether it is a way to bind, and no application."""
        return self.folder.parent == PEERS

    @property
    def is_installed(self) -> bool:
        """Return whether it is a distribution, to be installed."""
        return (self.folder / "pyproject.toml").exists()

    def lay_out(self, where: Path) -> None:
        """Copy the files that are not installed into a new folder, away from this repository."""
        if self.is_installed:
            where.mkdir()
            return
        ignore = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        shutil.copytree(self.folder, where, ignore=ignore)
        for name in self.copies:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, where / name, ignore=ignore)
            else:
                (where / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, where / name)

    def install(self, testbed: Path, wheels: Path) -> tuple[Path, dict[str, str]]:
        """Return the Python of its environment, and the versions that the page shows."""
        own = [wheel(self.folder, wheels)] if self.is_installed else []
        python = environment(self.name, self.folder / "requirements.txt", [testbed, *own])
        return python, versions(python, self.versions)

    def lock(self) -> None:
        """Choose the newest versions for its requirements.txt."""
        source = self.folder / ("pyproject.toml" if self.is_installed else "requirements.in")
        groups = [f"--group={group}" for group in self.groups]
        lock([str(source), *groups], self.folder / "requirements.txt")


def found() -> list[Subject]:
    """Return the peers, then the applications."""
    descriptions = [*PEERS.glob("*/peer.toml"), *APPLICATIONS.glob("*/application.toml")]
    subjects = [_read(path) for path in sorted(descriptions)]
    return sorted(subjects, key=lambda it: (not it.is_peer, ORDER.index(it.name) if it.is_peer else 0))


def _read(path: Path) -> Subject:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Subject(folder=path.parent, **fields)
