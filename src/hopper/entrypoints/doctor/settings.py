"""The settings and their file."""

import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hopper.entrypoints.doctor.findings import Finding, ok, warning, wrong

if TYPE_CHECKING:
    from hopper.config.reading import Reading


def settings(reading: "Reading") -> Iterator[Finding]:
    from hopper.config.problems import dotted
    from hopper.config.showing import secrets_in_file

    for problem in reading.problems:
        yield wrong(problem.message)
    if reading.problems:
        return
    yield ok(str(reading.file) if reading.file else "There is no file of settings: the defaults do")
    secrets = ", ".join(dotted(place) for place in secrets_in_file(reading))
    if reading.file and secrets and stat.S_IMODE(reading.file.stat().st_mode) & 0o077:
        yield warning(
            f"Other users can read {reading.file}, which holds secrets ({secrets}).", f"chmod 600 {reading.file}"
        )
