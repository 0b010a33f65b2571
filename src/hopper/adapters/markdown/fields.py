"""The fields of a front matter, each as what it should be."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from hopper.domain.cursors import as_moment

T = TypeVar("T")

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


_LONGEST_ID = 100


class Wrong(Exception):
    """A field that can't be what it should be."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


class Fields:
    """What isn't there, or is null, is None."""

    def __init__(self, front: Mapping[str, Any]) -> None:
        self.front = front

    def text(self, key: str) -> str | None:
        value = self.front.get(key)
        if value is None or isinstance(value, str):
            return value
        raise Wrong(key, f"`{key}` should be a text")

    def needed(self, key: str) -> str:
        value = self.text(key)
        if value is None or not value.strip():
            raise Wrong(key, f"there is no `{key}`")
        return value

    def id(self) -> str:
        value = self.needed("id")
        if not value.isprintable() or len(value) > _LONGEST_ID:
            raise Wrong("id", f"an `id` is one line of at most {_LONGEST_ID} characters")
        return value

    def one_of(self, key: str, words: Mapping[str, T]) -> T | None:
        """What one of the words stands for, whatever its case."""
        value = self.text(key)
        if value is None or not value.strip():
            return None
        found = words.get(value.strip().casefold())
        if found is None:
            raise Wrong(key, f"`{key}` can't be {value!r}; known are {', '.join(words)}")
        return found

    def moment(self, key: str) -> datetime | None:
        """A time, of UTC unless it says otherwise."""
        value = self.text(key)
        if value is None or not value.strip():
            return None
        try:
            found = datetime.fromisoformat(value.strip())
            return as_moment((found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat())
        except (ValueError, OverflowError):
            raise Wrong(key, f"`{key}` should be a time, such as 2026-01-05T09:00:00+00:00") from None

    def number(self, key: str) -> float | None:
        value = self.text(key)
        if value is None or not value.strip():
            return None
        try:
            found = float(value)
        except ValueError:
            found = float("nan")
        if not abs(found) < float("inf"):
            raise Wrong(key, f"`{key}` should be a number")
        return found

    def count(self, key: str) -> int | None:
        found = self.number(key)
        if found is None:
            return None
        if found != int(found) or abs(found) > 10**12:
            raise Wrong(key, f"`{key}` should be a whole number")
        return int(found)

    def flag(self, key: str) -> bool | None:
        return self.one_of(key, _FLAGS)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list, or texts with commas between them."""
        value = self.front.get(key)
        if value is None:
            return ()
        if isinstance(value, str):
            return tuple(filter(None, map(str.strip, value.split(","))))
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise Wrong(key, f"`{key}` should be a list")

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.front.get(key)
        if value is None:
            return {}
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return value
        raise Wrong(key, f"`{key}` should be lines of the form `name: value`")

    def records(self, key: str) -> tuple["Fields", ...]:
        """A list of mappings."""
        value = self.front.get(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            return tuple(map(Fields, value))
        raise Wrong(key, f"`{key}` should be a list of entries")

    def groups(self, key: str) -> Mapping[str, "Fields"]:
        """Mappings by their names."""
        return {name: Fields(Fields(self.mapping(key)).mapping(name)) for name in self.mapping(key)}


def given(**values: Any) -> dict[str, Any]:
    """What is written of these: all but what is None."""
    return {key: value for key, value in values.items() if value is not None}
