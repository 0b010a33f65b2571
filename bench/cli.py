"""The commands on a local instance beside Taskwarrior's on the same tasks; each is a process of its own, in turns."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from bench.figures import Figure

TASKS = 5_000
ROUNDS = 21


def measure() -> list[Figure]:
    """Milliseconds, p50. Raises SystemExit where Taskwarrior isn't installed."""
    taskwarrior = shutil.which("task")
    if not taskwarrior:
        raise SystemExit("This needs Taskwarrior: apt install taskwarrior")
    hopper = str(Path(sys.executable).with_name("hopper"))
    with TemporaryDirectory(prefix="hopper-bench-") as place:
        here = Path(place)
        environment = {"PATH": os.environ["PATH"], "HOME": place, "TASKRC": f"{place}/rc", "TASKDATA": f"{place}/data"}
        (here / "data").mkdir()
        (here / "rc").write_text(f"data.location={place}/data\nconfirmation=off\n")
        _fill(here, environment, taskwarrior, hopper)
        times: dict[str, list[float]] = {}
        for number in range(ROUNDS):
            title = f"The card payment number {TASKS + number} is declined abroad"
            for name, command in {
                "task list": [taskwarrior, "list"],
                "hopper ls --all": [hopper, "ls", "--all"],
                "task add": [taskwarrior, "add", title],
                "hopper add": [hopper, "add", title],
                "hopper --version": [hopper, "--version"],
            }.items():
                times.setdefault(name, []).append(_run(command, here, environment))
    p50 = {name: median(taken) for name, taken in times.items()}
    return [
        Figure(name="hopper ls --all, against task list", value=p50["hopper ls --all"] / p50["task list"], goal=1.0,
               at_least=False),
        Figure(name="hopper add, against task add", value=p50["hopper add"] / p50["task add"], goal=3.0,
               at_least=False),
        *(Figure(name=name, value=value, unit="ms") for name, value in p50.items()),
    ]  # fmt: skip


def _fill(here: Path, environment: dict[str, str], taskwarrior: str, hopper: str) -> None:
    """The same tasks in both; the first command of each after that isn't measured."""
    _run([hopper, "init"], here, environment)
    tasks = here / ".hopper" / "tasks"
    rows = []
    for number in range(TASKS):
        title = f"The card payment number {number} is declined abroad"
        rows.append(f'{{"description":"{title}","project":"payments","tags":["cards"],"status":"pending"}}')
        (tasks / f"task-{number:08x}.md").write_text(
            f"---\nid: task-{number:08x}\ntitle: {title}\nstatus: pending\ntags:\n- cards\nproject: payments\n"
            "created_at: '2026-01-01T00:00:00+00:00'\nupdated_at: '2026-01-01T00:00:00+00:00'\n---\n"
        )
    (here / "tasks.json").write_text("\n".join(rows))
    _run([taskwarrior, "import", "tasks.json"], here, environment)
    _run([hopper, "ls"], here, environment)


def _run(command: list[str], here: Path, environment: dict[str, str]) -> float:
    """For how long it ran, in milliseconds."""
    began = perf_counter()
    subprocess.run(command, cwd=here, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return 1000 * (perf_counter() - began)
