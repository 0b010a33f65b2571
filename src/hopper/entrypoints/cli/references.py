"""Finding what a person names: a task, an instance or a pattern by an id, a part of one, or a name."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hopper.domain.errors import HopperError
from hopper.domain.ids import ID
from hopper.domain.told import text

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

SHORT = 8
"""How many characters of an id are shown: the last ones, since the first ones of new ids look alike."""

_FEWEST = 4
_NAMED = 3
"""How many of several candidates are named."""

_UUID_LENGTH = 36


class NoMatch(HopperError):
    """Nothing has the name or id that was given."""

    slug = "not-found"


class Ambiguous(HopperError):
    """More than one thing has the name or the part of an id that was given."""

    slug = "ambiguous"


def short(id: str) -> str:
    """The part of an id that is shown to people."""
    return id[-SHORT:]


def find_task(api: "Api", reference: str) -> Entity:
    return _find(api, "task", "/tasks", reference)


def find_pattern(api: "Api", reference: str) -> Entity:
    return _find(api, "pattern", "/patterns", reference)


def find_instance(api: "Api", reference: str) -> Entity:
    """By name first: it is what people type."""
    named = _some(api, "/instances", name=reference) if 0 < len(reference) <= 200 else []
    if named:
        return next((one for one in named if one["id"] == reference), None) or _only(named, "instance", reference)
    return _find(api, "instance", "/instances", reference)


def instance_id(api: "Api", reference: str | None) -> str | None:
    """The id of the instance that was named, if one was."""
    return None if reference is None else str(find_instance(api, reference)["id"])


def task_id(api: "Api", reference: str | None) -> str | None:
    """The id of the task that was named, if one was."""
    return None if reference is None else str(find_task(api, reference)["id"])


def names_of(api: "Api", ids: Iterable[str | None]) -> "Names":
    """The names of these instances, read only as far as needed."""
    names: dict[str, str] = {}
    wanted = {id for id in ids if id}
    if wanted:
        for page in api.pages("/instances", limit=5_000):
            names |= {instance["id"]: instance["name"] for instance in api.understood(page, _entities)}
            if wanted <= names.keys():
                break
    return Names(names)


class Names:
    """The names of instances by their ids."""

    def __init__(self, by_id: Mapping[str, str]) -> None:
        self.by_id = by_id

    def of(self, id: str | None) -> str:
        """The instance's name; the short id of one that is gone, nothing for nobody."""
        return self.by_id.get(id, short(id)) if id else ""


def _find(api: "Api", kind: str, path: str, reference: str) -> Entity:
    if not ID.fullmatch(reference):
        raise NoMatch(f"There is no {kind} {reference!r}: an id has at most 36 letters, digits, dots and dashes.")
    found = _with_part(api, path, reference) if len(reference) >= _FEWEST else []
    if len(found) != 1:
        found = _with_id(api, path, reference) or found  # a whole id, which may be short or begin another one
    if not found:
        raise NoMatch(_no_match(kind, reference))
    return _only(found, kind, reference)


def _with_part(api: "Api", path: str, part: str) -> list[Entity]:
    """Some of those whose id begins or ends so; the letters of a UUID may be typed in upper case."""
    found = _some(api, path, id=part)
    return found if found or part == part.lower() else _with_part(api, path, part.lower())


def _with_id(api: "Api", path: str, id: str) -> list[Entity]:
    """What has just this id."""
    if not id.strip("."):
        return []  # in a path these dots mean something else
    found = if_any(api, f"{path}/{id}")
    return [] if found is None else [api.understood(found, _entity)]


def _some(api: "Api", path: str, **query: str) -> list[Entity]:
    """As many as can be named, and one more."""
    return api.understood(api.page(path, **query, limit=_NAMED + 1), _entities)


def _entities(page: Any) -> list[Entity]:
    return [_entity(one) for one in page["items"]]


def _entity(said: Any) -> Entity:
    """Something that has an id, and a title or a name."""
    text(said["id"])
    text(said["title"] if "title" in said else said["name"])
    return dict(said)


def if_any(api: "Api", path: str) -> Entity | None:
    """What is there, if there is anything."""
    try:
        found: Entity = api.get(path)
    except HopperError as problem:
        if problem.slug != "not-found":
            raise
        return None
    return found


def _only(found: list[Entity], kind: str, reference: str) -> Entity:
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"{entity['id']} ({_called(entity)})" for entity in found[:_NAMED])
    more = ", …" if len(found) > _NAMED else ""
    raise Ambiguous(f"{reference!r} can mean more than one {kind}: {some}{more}. Give the whole id, or more of it.")


def _called(entity: Entity) -> str:
    name = str(entity.get("title") or entity.get("name") or "")
    return name if len(name) <= 40 else f"{name[:39]}…"


def _no_match(kind: str, reference: str) -> str:
    if len(reference) < _FEWEST:
        return f"There is no {kind} {reference!r}. A part of an id needs at least {_FEWEST} characters."
    if len(reference) == _UUID_LENGTH:
        return f"There is no {kind} with the id {reference!r}."
    listing = {"task": "hopper ls", "instance": "hopper instance ls", "pattern": "hopper pattern ls"}[kind]
    called = f"is called {reference!r}, or " if kind == "instance" else ""
    return f"There is no {kind} that {called}has an id that begins or ends with {reference!r}. See `{listing}`."
