"""Describe the public applications; each has an `application.toml`, and a `peer.py` that makes it."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.conformance.environments import ROOT, environment, versions
from tests.conformance.subjects import Subject

APPLICATIONS = Path(__file__).parent / "applications"
# The packages of the measurement, which are resolved together with those of the application.
MEASUREMENT = ROOT / "tests" / "conformance" / "requirements.in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application(Subject):
    """A public application, which a package registry offers."""

    requirements: tuple[str, ...]
    """The arguments of `pip install`; the first is the application itself."""
    documented: str
    """The databases that its documentation names."""
    backends: tuple[str, ...]
    """The backends on which it is tried; each stands for a documented database."""
    binding: str = ""
    """The peer of docs/conformance.md whose defaults the application shares."""
    because: str = ""
    """Why it needs its options, its variables and its `peer.py`."""
    redis: bool = False
    """Whether it needs a Redis server; its port replaces `{redis}` in the variables."""
    unmeasured: str = ""
    """Why a described run is not on the page, if there is another reason than time."""
    obstacle: str = ""
    """Why it cannot be tried; empty if it can."""

    def install(self, testbed: Path, wheels: Path) -> tuple[Path, dict[str, str]]:
        """Make the environment; return its Python and the versions that the page shows.

        The application's and the testbed's requirements are resolved together: the testbed may not replace a
        version that the application asks for.
        """
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        lines = [*self.requirements, *project["dependencies"], MEASUREMENT.read_text(encoding="utf-8")]
        requirements = wheels / f"{self.name}.txt"
        requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
        python = environment(f"public-{self.name}", requirements, [testbed])
        return python, versions(python, self.versions)

    def with_redis(self, port: int) -> "Application":
        """Return the application with the port of its Redis server in its variables."""
        return replace(
            self,
            variables={name: value.replace("{redis}", str(port)) for name, value in self.variables.items()},
        )


def find_applications(folder: Path = APPLICATIONS) -> list[Application]:
    """Return the applications, sorted by name."""
    return [_read(path) for path in sorted(folder.glob("*/application.toml"))]


def _read(path: Path) -> Application:
    values = tomllib.loads(path.read_text(encoding="utf-8"))
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    return Application(folder=path.parent, **fields)
