"""A circuit breaker (https://martinfowler.com/bliki/CircuitBreaker.html): no one waits for a provider known to fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from hopper.domain.errors import HopperError, Misconfigured, Unavailable

OUTAGES = (Unavailable, Misconfigured)
"""What a provider fails with whatever it is asked."""

PATIENCE_SECONDS = 2.0
"""How long somebody who waits for a decision waits for a provider."""

LONGEST_REST_SECONDS = 30.0


def rest_after(failures: int) -> float:
    """Seconds until a provider that has failed so many times running is tried again: 2, 4, 8, 16, 30."""
    return min(2.0 ** min(failures, 10), LONGEST_REST_SECONDS)


class Circuit:
    """What this process knows about the provider's health; open means that it is known to fail.

    Whoever has time to wait tries whenever they like, and closes it when the provider is quick again. `calls` have
    ended since the process began, `failed` of them with an outage; they took so many `seconds`.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.failed = 0
        self.seconds = 0.0
        self._failures = 0
        self._opened_at = 0.0
        self._open_until = 0.0
        self._failure: HopperError | None = None

    @property
    def trouble(self) -> str | None:
        """What the provider failed with, if it has not worked since."""
        return self._failure.message if self._failure else None

    @property
    def is_resting(self) -> bool:
        """Whether the provider is known to fail, and isn't to be tried yet."""
        return self._failure is not None and monotonic() < self._open_until

    def check(self) -> None:
        """For a worker that has other work: raises what the provider failed with while it rests."""
        if self._failure and self.is_resting:
            raise _anew(self._failure)

    def admits(self) -> bool:
        """Whether somebody in a hurry may try; after a rest one at a time may."""
        now = monotonic()
        if now < self._open_until:
            return False
        if self._failures:
            self._open_until = now + PATIENCE_SECONDS
        return True

    def works(self) -> None:
        """A call that goes on for long has had its first answer."""
        self._failure = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Learn from how a call to the provider ends."""
        began = monotonic()
        try:
            yield
        except OUTAGES as error:
            self.failed += 1
            self._failure = _anew(error)
            if began >= self._opened_at:  # not one of many that failed together
                self._failures += 1
                self._opened_at = monotonic()
                self._open_until = self._opened_at + rest_after(self._failures)
            raise
        finally:
            self.calls += 1
            self.seconds += monotonic() - began
        self.works()
        if monotonic() - began <= PATIENCE_SECONDS:
            self._failures = 0
            self._open_until = 0.0


def _anew(error: HopperError) -> HopperError:
    """The same without its traceback, which would keep what it passed through, and grow each time that it is raised."""
    return type(error)(error.message)
