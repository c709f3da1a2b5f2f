"""What README says is so: its code runs, its links lead somewhere, its commands and settings exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends import Backend
    from flask_sqlalchemy_testbed.servers.network import Server

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert found
    return found


def test_it_has_no_gaps() -> None:
    assert "@@" not in README


def test_the_test_in_it_passes(
    testbed_backend: Backend, testbed_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, block in enumerate(blocks("python")):
        (tmp_path / f"test_readme_{number}.py").write_text(block)
    if testbed_server.url is not None:
        monkeypatch.setenv(
            f"TESTBED_{testbed_backend.name.upper()}_URI",
            testbed_server.url.render_as_string(hide_password=False),
        )
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            "--testbed-backend",
            testbed_backend.name,
            tmp_path,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?://)([^)#]+)\)", README))))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z][a-z-]+)", README))))
def test_its_make_targets_exist(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`((?:APP|DATABASE|TESTBED|[A-Z]+_IMAGE)[A-Z_]*)`", README)))
)
def test_its_settings_are_read_somewhere(name: str) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (*ROOT.glob("app/*.py"), ROOT / ".env")]
    derived = {f"TESTBED_{backend.upper()}_{end}" for backend in BACKENDS for end in ("URI", "PASSWORD_FILE")}

    assert name in derived or any(name in source for source in sources)


def test_the_backend_that_it_adds_could_be_added() -> None:
    lines = blocks("diff")[0].splitlines()
    before, after = ("\n".join(line[1:] for line in lines if line[:1] in kept) for kept in ("- ", "+ "))
    source = (ROOT / "flask_sqlalchemy_testbed" / "backends" / "__init__.py").read_text(encoding="utf-8")
    assert before.strip() in source
    changed: dict[str, object] = {"__name__": "flask_sqlalchemy_testbed.backends"}
    exec(source.replace(before.strip(), after), changed)  # noqa: S102 - our own

    assert "mariadb" in changed["BACKENDS"]  # type: ignore[operator]
