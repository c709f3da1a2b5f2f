"""Merge the reports of several runs into one.

Use: python -m flask_sqlalchemy_testbed.report build/*/evidence.json --output build/report
Files in the folder of --output are not read.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.redaction import redact_all
from flask_sqlalchemy_testbed.report import pages
from flask_sqlalchemy_testbed.report.merge import merge
from flask_sqlalchemy_testbed.report.summary import counts, failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.report.matrix import Report


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and return the exit status.

    It is 1 if a check failed and `--check` was given, and 2 if a file cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m flask_sqlalchemy_testbed.report", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="evidence.json or matrix.json of each run")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/report"),
        metavar="DIR",
        help="write the report there (default: build/report)",
    )
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a check failed")
    options = parser.parse_args(arguments)
    try:
        reports = {name: read(path) for name, path in jobs(inputs(options.files, options.output)).items()}
    except OSError as error:
        problem = f"{error.filename!r} cannot be read: {error.strerror}. Name the evidence.json of each run."
        print(f"{parser.prog}: {problem}", file=sys.stderr)  # noqa: T201 - a command writes to the terminal
        return 2
    except (ValueError, KeyError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    if conflict := pages.conflict(options.output):
        print(f"{parser.prog}: --output {str(options.output)!r} {conflict}", file=sys.stderr)  # noqa: T201 - as above
        return 2
    report = merge(reports) if len(reports) > 1 else next(iter(reports.values()))
    pages.write(options.output, report)
    print(f"{counts(report)}; {options.output / 'index.html'}")  # noqa: T201 - as above
    return int(options.check and bool(failures(report)))


def inputs(paths: list[Path], output: Path) -> list[Path]:
    """Return the paths without those that this command wrote itself.

    `build/*/` matches its output.

    A report that is given alone is written again in its place.
    """
    return [path for path in paths if path.resolve().parent != output.resolve()] or paths


def jobs(paths: list[Path]) -> dict[str, Path]:
    """Return the files by the part of the path in which they differ.

    CI names this part after the job.

    Raises:
        ValueError: two paths name the same file.
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    if len(parts) == 1:
        return {"": paths[0]}
    if len(set(parts)) < len(paths):
        message = "A file is given twice. Give each file once."
        raise ValueError(message)
    first, last = _common(parts), _common([names[::-1] for names in parts])
    short = [names[first : len(names) - last] for names in parts]
    # Nothing is left of a/report.json beside a/b/report.json: keep the shared end then.
    chosen = short if all(short) else [names[first:] or names[-1:] for names in parts]
    return {"/".join(names): path for names, path in zip(chosen, paths, strict=True)}


def _common(parts: list[tuple[str, ...]]) -> int:
    """Return the number of names at the beginning that all paths share."""
    return next(number for number, names in enumerate(zip_longest(*parts)) if len(set(names)) > 1)


def read(path: Path) -> Report:
    """Read a file of either kind; the report of a matrix has no evidence.

    Raises:
        ValueError: the file is of another kind, or no JSON.
        OSError: the file cannot be read.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not {"servers", "checks"} <= document.keys():
        message = f"{path} is not a report. Give matrix.json or evidence.json of a run."
        raise ValueError(message)
    # The run that wrote the file may have been one of an older version.
    return redact_all({"subject": {}, "software": {}, "evidence": {}, **document})  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.exit(main())
