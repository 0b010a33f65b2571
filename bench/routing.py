"""How good decisions are: what `hopper bench routing` says of the data sets, beside the goals."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.figures import Figure

_ECE = 0.04


def measure(data: Path) -> list[Figure]:
    train, test, bugs, issues = (
        data / f"{name}.jsonl.gz"
        for name in ("banking77-train", "banking77-test", "mozilla-bugs", "nlbse24-issues-train")
    )
    learned = _asked(train, "--test", test)
    stream = _asked(bugs)
    folds = _asked(issues, "--folds", 5)
    return [
        Figure(name="banking77, train → test, accuracy", value=learned["accuracy"], goal=0.935),
        Figure(name="banking77, coverage at 95 % precision", value=learned["coverage_at_95"], goal=0.90),
        Figure(name="mozilla-bugs, stream, accuracy of the last half", value=stream["accuracy_last_half"], goal=0.50),
        Figure(name="nlbse24, 5 folds, accuracy", value=folds["accuracy"], goal=0.76),
        *(
            Figure(name=f"{name}, expected calibration error", value=told["ece"], goal=_ECE, at_least=False)
            for name, told in (("banking77", learned), ("mozilla-bugs", stream), ("nlbse24", folds))
        ),
    ]


def _asked(*arguments: object) -> dict[str, Any]:
    """What the command prints for one file; it shows its progress meanwhile."""
    command = [str(Path(sys.executable).with_name("hopper")), "bench", "routing", *map(str, arguments), "--json"]
    [result] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found: dict[str, Any] = result
    return found
