"""What a command asks of a local instance, and which function answers it."""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hopper.domain.errors import Invalid
from hopper.ports import Ports

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
M = TypeVar("M", bound="BaseModel")

Answer = Callable[["Call"], Coroutine[Any, Any, Any]]

PAGE = 50


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the API has it; `id` is the part of the path that names an entity."""

    ports: Ports
    id: str
    query: Mapping[str, Any]
    body: Any = None
    version: int | None = None

    def read(self, model: "type[M]") -> "M":
        """The body, checked as the API checks it. Raises Invalid."""
        from pydantic import ValidationError

        try:
            return model.model_validate({} if self.body is None else self.body)
        except ValidationError as error:
            problems = [(".".join(map(str, one["loc"])) or "body", _plain(one["msg"])) for one in error.errors()]
            said = "; ".join(f"{field}: {detail}" for field, detail in problems[:3])
            raise Invalid(problems[0][0], said) from None

    def one_of(self, kind: type[T], name: str) -> T | None:
        """A query parameter, as one of the words that there are. Raises Invalid."""
        given = self.query.get(name)
        try:
            return None if given is None else kind(given)  # type: ignore[call-arg]
        except ValueError:
            raise Invalid(name, f"{given!r} is none of the words for {name}.") from None

    @property
    def page(self) -> tuple[int, str | None]:
        """How many entries at most, and where the listing continues."""
        return int(self.query.get("limit") or PAGE), self.query.get("cursor")


class Routes:
    """The functions that answer, by method and path; a path has one `{id}` at most."""

    def __init__(self) -> None:
        self.named: dict[tuple[str, str], Answer] = {}

    def __call__(self, method: str, path: str) -> Callable[[Answer], Answer]:
        def add(answer: Answer) -> Answer:
            self.named[method, path] = answer
            return answer

        return add

    def find(self, method: str, path: str) -> tuple[Answer, str] | None:
        """Who answers, and the id in the path. A path without an id goes first, as in the API."""
        if answer := self.named.get((method, path)):
            return answer, ""
        for (verb, pattern), answer in self.named.items():
            before, braces, after = pattern.partition("{id}")
            if verb == method and braces:
                found = re.fullmatch(f"{re.escape(before)}([^/]+){re.escape(after)}", path)
                if found:
                    return answer, found[1]
        return None


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")
