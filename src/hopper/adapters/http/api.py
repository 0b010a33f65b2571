"""How commands reach Hopper: the API's methods and paths, wherever the answers come from."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from hopper.domain.errors import Unavailable
from hopper.domain.told import text

PAGE = 200
"""The most that one page of a listing holds."""

Entity = dict[str, Any]
Query = str | int | bool | None
T = TypeVar("T")


class Api(ABC):
    """Paths are below /api/v1; what goes in and comes out is JSON as Python has it."""

    address: str
    page_size = PAGE

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    def get(self, path: str, **query: Query) -> Any: ...

    @abstractmethod
    def create(self, path: str, body: Entity) -> Any:
        """Make something once, however often the connection is lost."""

    @abstractmethod
    def post(
        self, path: str, body: Entity | None = None, *, repeatable: bool = False, long: bool = False, **query: Query
    ) -> Any:
        """`repeatable` says that the request does no more when it comes twice, `long` that it may take minutes."""

    @abstractmethod
    def put(self, path: str, body: Entity) -> Any: ...

    @abstractmethod
    def patch(self, path: str, body: Entity, *, version: int | None = None) -> Any:
        """Change what is still at `version`, if that is given."""

    @abstractmethod
    def delete(self, path: str) -> Any: ...

    @abstractmethod
    def import_lines(self, lines: Iterable[bytes], *, atomic: bool = False, dry_run: bool = False) -> Entity:
        """File tasks, one JSON object a line; repeated after a lost connection if `lines` is a sequence of them."""

    def understood(self, answer: Any, read: Callable[[Any], T], *, status: int = 200) -> T:
        """What `read` makes of an answer. Raises Unavailable where it finds another shape: no Hopper answers so."""
        try:
            return read(answer)
        except (AttributeError, LookupError, TypeError, ValueError):
            raise self.no_hopper(status) from None

    def no_hopper(self, status: int) -> Unavailable:
        return Unavailable(
            f"{self.address} answered {status}, but not as a Hopper server of this version does. Check its address."
        )

    def own_key(self) -> Entity | None:
        """The key that asks, with its role and what it is bound to; None where none is needed."""
        return self.understood(self.get("/keys/own"), _own_key)

    def page(self, path: str, **query: Query) -> Entity:
        """A page of a listing."""
        return self.understood(self.get(path, **query), _page)

    def pages(self, path: str, *, limit: int | None = None, **query: Query) -> Iterator[Entity]:
        """The pages of a listing until it ends or `limit` entries have come."""
        cursor, left = None, limit
        while True:
            page = self.page(path, limit=min(self.page_size, left or self.page_size), cursor=cursor, **query)
            yield page
            cursor = page["next_cursor"]
            left = None if left is None else left - len(page["items"])
            if cursor is None or left == 0:
                return

    def listing(self, path: str, *, limit: int | None = None, **query: Query) -> Entity:
        """The pages of a listing as one page; what else it says is the last one's."""
        items: list[Entity] = []
        for page in self.pages(path, limit=limit, **query):
            items += page["items"]
        return {**page, "items": items}


def _own_key(said: Any) -> Entity:
    key: Entity = said
    text(key["role"])
    if key["within"] is not None:
        text(key["within"])
    return key


def _page(said: Any) -> Entity:
    page: Entity = said
    items, cursor = page["items"], page["next_cursor"]
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise TypeError("no entities")
    if cursor is not None:
        text(cursor)
    return page
