"""What a check finds, and running many checks: each has a deadline, and none waits for another."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from threading import Thread
from time import monotonic

from hopper.domain.errors import HopperError


class State(StrEnum):
    """`warning` is what works for now."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is so, and what to do about it, if that isn't said already."""

    state: State
    message: str
    advice: str | None = None


Check = Callable[[], Iterator[Finding]]


def ok(message: str) -> Finding:
    return Finding(State.OK, message)


def warning(message: str, advice: str | None = None) -> Finding:
    return Finding(State.WARNING, message, advice)


def wrong(message: str, advice: str | None = None) -> Finding:
    return Finding(State.WRONG, message, advice)


class Examination:
    """All checks at once, each in a thread of its own: one that hangs is left behind."""

    def __init__(self, checks: Mapping[str, Check], seconds: float) -> None:
        self._seconds = seconds
        self._running = {name: _Running(check) for name, check in checks.items()}
        self._deadline = monotonic() + seconds

    def findings(self) -> Iterator[tuple[str, Finding]]:
        """The names of the checks with what they find, in their order."""
        for name, running in self._running.items():
            running.join(max(self._deadline - monotonic(), 0.0))
            yield from ((name, finding) for finding in running.found[:])
            if running.is_alive():
                message = f"This check gave no answer within {self._seconds:g} seconds."
                yield name, wrong(message, "Look whether the machine, its disk or its network hangs, and try again.")

    @property
    def hangs(self) -> bool:
        """Whether something of it still runs."""
        return any(running.is_alive() for running in self._running.values())


class _Running(Thread):
    def __init__(self, check: Check) -> None:
        super().__init__(daemon=True)
        self.found: list[Finding] = []
        self._check = check
        self.start()

    def run(self) -> None:
        try:
            for finding in self._check():
                self.found.append(finding)
        except HopperError as error:
            self.found.append(wrong(error.message))
        except OSError as error:
            self.found.append(wrong(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."))
        except Exception as error:  # whatever it is, the other checks go on
            self.found.append(
                wrong(f"This check failed: {type(error).__name__}.", "It is a fault of Hopper's: report it.")
            )
