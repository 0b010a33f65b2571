"""Finding what a person names: a task, an instance or a pattern by an id, a part of one, or a name."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hopper.domain.errors import HopperError

if TYPE_CHECKING:
    from hopper.adapters.http.client import HopperClient

Entity = dict[str, Any]

SHORT = 8
"""How many characters of an id are shown: the last ones, since the first ones of new ids look alike."""

_FEWEST = 4
_FARTHEST = 5_000
_ID = re.compile(r"[A-Za-z0-9._-]{1,36}")
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


def find_task(api: "HopperClient", reference: str) -> Entity:
    return _find(api, "task", "/tasks", reference)


def find_pattern(api: "HopperClient", reference: str) -> Entity:
    return _find(api, "pattern", "/patterns", reference)


def find_instance(api: "HopperClient", reference: str) -> Entity:
    """By name first: it is what people type."""
    named = api.get("/instances", name=reference, limit=2)["items"] if 0 < len(reference) <= 200 else []
    if named:
        return _only(named, "instance", reference)
    return _find(api, "instance", "/instances", reference)


def instance_id(api: "HopperClient", reference: str | None) -> str | None:
    """The id of the instance that was named, if one was."""
    return None if reference is None else str(find_instance(api, reference)["id"])


def task_id(api: "HopperClient", reference: str | None) -> str | None:
    """The id of the task that was named, if one was."""
    return None if reference is None else str(find_task(api, reference)["id"])


def names_of(api: "HopperClient", ids: Iterable[str | None]) -> "Names":
    """The names of these instances, read only as far as needed."""
    names: dict[str, str] = {}
    wanted = {id for id in ids if id}
    if wanted:
        for page in api.pages("/instances", limit=_FARTHEST):
            names |= {instance["id"]: instance["name"] for instance in page["items"]}
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


def _find(api: "HopperClient", kind: str, path: str, reference: str) -> Entity:
    if not _ID.fullmatch(reference):
        raise NoMatch(f"There is no {kind} {reference!r}: an id has at most 36 letters, digits, dots and dashes.")
    found, seen = ([], 0) if _is_whole(reference) else _walk(api, path, reference)
    if found:
        return _only(found, kind, reference)
    if _is_whole(reference) or seen >= _FARTHEST:
        found = _with_id(api, path, reference)
    if not found:
        raise NoMatch(_no_match(kind, reference, seen))
    return found[0]


def _is_whole(reference: str) -> bool:
    """Whether it can't be a part of an id."""
    return len(reference) == _UUID_LENGTH or len(reference) < _FEWEST


def _with_id(api: "HopperClient", path: str, id: str) -> list[Entity]:
    """What has just this id."""
    from hopper.adapters.http.client import RemoteProblem

    if not id.strip("."):
        return []  # in a path these dots mean something else
    try:
        return [api.get(f"{path}/{id}")]
    except RemoteProblem as problem:
        if problem.status != 404:
            raise
        return []


def _walk(api: "HopperClient", path: str, reference: str) -> tuple[list[Entity], int]:
    """Those whose id begins or ends so, or the one with just this id; and how many were looked at."""
    found: list[Entity] = []
    seen = 0
    for page in api.pages(path, limit=_FARTHEST):
        seen += len(page["items"])
        for entity in page["items"]:
            if entity["id"] == reference:
                return [entity], seen
            if _ends(entity["id"], reference):
                found.append(entity)
        if any(_settles(entity["id"], reference) for entity in found):
            break
    return found, seen


def _ends(id: str, reference: str) -> bool:
    return id.lower().startswith(reference.lower()) or id.lower().endswith(reference.lower())


def _settles(id: str, reference: str) -> bool:
    """Whether no other id can be meant, so that there is no need to look on: the short form of a UUID."""
    return len(id) == _UUID_LENGTH and len(reference) >= SHORT and id.lower().endswith(reference.lower())


def _only(found: list[Entity], kind: str, reference: str) -> Entity:
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"{entity['id']} ({_called(entity)})" for entity in found[:3])
    more = ", …" if len(found) > 3 else ""
    raise Ambiguous(f"{reference!r} can mean more than one {kind}: {some}{more}. Give more of the id.")


def _called(entity: Entity) -> str:
    name = str(entity.get("title") or entity.get("name") or "")
    return name if len(name) <= 40 else f"{name[:39]}…"


def _no_match(kind: str, reference: str, seen: int) -> str:
    if len(reference) < _FEWEST:
        return f"There is no {kind} {reference!r}. A part of an id needs at least {_FEWEST} characters."
    if len(reference) == _UUID_LENGTH:
        return f"There is no {kind} with the id {reference!r}."
    if seen >= _FARTHEST:
        return (
            f"None of the {_FARTHEST:,} {kind}s looked at has an id that begins or ends with {reference!r}. "
            "Give the whole id; --json shows it."
        )
    listing = {"task": "hopper ls", "instance": "hopper instance ls", "pattern": "hopper pattern ls"}[kind]
    return f"There is no {kind} whose id begins or ends with {reference!r}. See `{listing}`."
