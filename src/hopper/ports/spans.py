"""Spans of a trace: what a request took, and each call that was made to something else meanwhile.

Nothing that a task says stands in them: routes, statements whose values are parameters, counts, names of errors.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

Attributes = Mapping[str, str | int]


class RequestSpan(Protocol):
    """The span of a request that is being answered."""

    trace_id: str

    def answered(self, route: str, status: int) -> None: ...


class Spans(Protocol):
    """What is told lasts as long as the block, and is told as failed by the name of the error that ends it."""

    def request(
        self, method: str, headers: Iterable[tuple[bytes, bytes]], attributes: Attributes
    ) -> AbstractContextManager[RequestSpan]:
        """A request that came in, as a part of the trace that its headers name, if they do."""
        ...

    def call(self, name: str, attributes: Attributes, *, always: bool) -> AbstractContextManager[None]:
        """A call to something else; `always` if it is worth a trace of its own where nothing is under way."""
        ...

    def called(self, name: str, attributes: Attributes, seconds: float, error: BaseException | None) -> None:
        """A call that has just ended, as a part of what is under way; nothing where nothing is."""
        ...


def calling(
    spans: Spans | None, name: str, attributes: Attributes, *, always: bool = False
) -> AbstractContextManager[None]:
    """The span of a call, if there are spans."""
    return spans.call(name, attributes, always=always) if spans else nullcontext()
