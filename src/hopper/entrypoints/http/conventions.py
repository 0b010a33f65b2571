"""What all endpoints share: who asks, ETags, Idempotency-Keys, answers, and reading JSON strictly."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from typing import Annotated, Any, cast

import orjson
from fastapi import Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from hopper.app.access import authenticate
from hopper.app.retry import Retry
from hopper.domain.access import HOPPER, Asker, Permission
from hopper.domain.errors import (
    Forbidden,
    Invalid,
    StaleVersion,
)
from hopper.entrypoints.http.inside import require_inside
from hopper.entrypoints.http.permissions import permission_of
from hopper.entrypoints.logs import KEY_ID, REQUEST_ID
from hopper.ports import Ports
from hopper.ports.replica import Replica

READING = {"GET", "HEAD", "OPTIONS"}

_ENTITIES = {
    "task_id": "task",
    "instance_id": "instance",
    "delegation_id": "delegation",
    "pattern_id": "pattern",
    "key_id": "key",
    "source_instance_id": "source",
    "model": "model",
}
"""What the parameters of paths are the ids of."""


class ApiRequest(Request):
    """A request, with what the API's endpoints need of it.

    These are properties and no dependencies of FastAPI's: resolving those takes longer than storing a task.
    """

    _chosen: int | None = None
    """Which of the versions in If-Match is the current one, once that is known."""
    asker: Asker = HOPPER
    _ports: Ports | None = None

    @property
    def ports(self) -> Ports:
        """What there is, for whoever asks."""
        if self._ports is None:
            ports = cast(Ports, self.app.state.ports).asked_by(self.asker)
            position = self._position
            self._ports = ports if position is None else ports.since(position)
        return self._ports

    @property
    def _position(self) -> int | None:
        """What Hopper-Position says, if it was sent. Raises Invalid."""
        given = self.headers.get(POSITION)
        if given is not None and not _POSITION.fullmatch(given):
            raise Invalid(POSITION, f"{POSITION} takes what the answer to a change had there, such as 23592960, or 0.")
        return None if given is None else int(given)

    @property
    def token(self) -> str | None:
        """The key that came with the request, whoever's it is."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None

    async def admit(self, permission: Permission, route: str) -> None:
        """Find out who asks. Raises Unauthorized, RateLimited, or Forbidden, and NotFound for what isn't theirs."""
        known = await authenticate(self.token, ports=self.app.state.ports)
        entities = ((_ENTITIES[name], str(id)) for name, id in self.path_params.items() if name in _ENTITIES)
        self.asker = replace(known, action=route, entity=next(entities, None), request_id=REQUEST_ID.get() or None)
        KEY_ID.set(known.key_id or "")
        if not known.may(permission):
            raise Forbidden(known.refusal(permission))
        if known.within:
            await require_inside(self, route, self.ports)

    async def json(self) -> Any:
        """The body as RFC 8259 has it: no NaN, no lone surrogates, no bottomless nesting."""
        return orjson.loads(await self.body())

    @property
    def expected_version(self) -> int | None:
        """The version that If-Match asks for, the newest of several; None when any will do. Raises Invalid."""
        if self._chosen is not None:
            return self._chosen
        asked = self._versions()
        return None if asked is None else max(asked, default=_NO_VERSION)

    def accepts(self, current: int) -> bool:
        """Whether If-Match names the current version besides newer ones; if so, it is expected from now on."""
        self._chosen = current
        return current in (self._versions() or ())

    def _versions(self) -> set[int] | None:
        """All versions in If-Match. Weak tags and strange ones are well-formed, but match none (RFC 9110)."""
        given = self.headers.getlist("if-match")
        asked = ", ".join(given).strip()
        if not given or asked == "*":
            return None
        if not _ETAGS.fullmatch(asked):
            raise Invalid("If-Match", 'If-Match takes ETags, such as "3" or "3", "4", or *.')
        return {int(version) for version in _VERSION.findall(asked)}

    @property
    def idempotency_key(self) -> str | None:
        """The Idempotency-Key, if there is one. Raises Invalid."""
        key = self.headers.get("idempotency-key")
        if key is not None and not _KEY.fullmatch(key):
            raise Invalid("Idempotency-Key", "An Idempotency-Key has 1 to 200 printable ASCII characters.")
        return key

    async def retry(self) -> Retry | None:
        """What the Idempotency-Key says, if there is one. Raises Invalid."""
        key = self.idempotency_key
        if key is None:
            return None
        target = f"{self.method} {self.scope['path']}?".encode() + self.scope["query_string"]
        asked = target + b"\n" + await self.body()
        # Each key has its own: one asker's entity isn't another's.
        return Retry(f"{self.asker.key_id}@{self.scope['path']}:{key}", sha256(asked).hexdigest())


POSITION = "Hopper-Position"
"""What a change's answer says when the database has a replica: a search that sends it sees at least that change."""

_POSITION = re.compile(r"[0-9]{1,18}")
_ETAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
_ETAGS = re.compile(rf"{_ETAG}(?:[ \t]*,[ \t]*{_ETAG})*")
_VERSION = re.compile(r'(?<!W/)"([1-9][0-9]{0,8})"')
_NO_VERSION = 0
_KEY = re.compile(r"[ -~]{1,200}")


def _header(name: str, description: str) -> dict[str, Any]:
    parameter = {"name": name, "in": "header", "required": False, "description": description}
    return {"parameters": [{**parameter, "schema": {"type": "string"}}]}


RETRYABLE = _header("Idempotency-Key", "Makes a repeated create harmless: 1 to 200 printable ASCII characters.")
SEARCHING = _header(
    POSITION,
    "What an earlier answer had there: a search that has seen that much will do. Without it, it sees all there is.",
)
VERSIONED = _header("If-Match", 'The ETag that you read, such as "3"; the change is refused if there is a newer one.')
"""What OpenAPI says of the headers that an endpoint heeds."""


class ApiRoute(APIRoute):
    """Hands its endpoint an ApiRequest; once more when the current version is another one of those in If-Match."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()
        known = _query_parameters(self.dependant)
        method = next(iter(self.methods or {"GET"}))
        permission = permission_of(method, self.path)

        async def handle(request: Request) -> Response:
            asked = ApiRequest(request.scope, request.receive)
            if permission:
                await asked.admit(permission, f"{method} {self.path}")
            if asked.scope["query_string"]:
                _require_known(asked.query_params, known)
            try:
                response = await handler(asked)
            except StaleVersion as stale:
                if not asked.accepts(stale.current):
                    raise
                response = await handler(asked)
            if asked.method not in READING:
                await _tell_position(response, asked.ports.replica)
            return response

        return handle


async def _tell_position(response: Response, replica: Replica | None) -> None:
    """Say how far the database has come with this change. It is stored, even if that can't be told."""
    if replica:
        with suppress(Exception):
            response.headers[POSITION] = str(await replica.position())


def _query_parameters(of: Dependant) -> set[str]:
    """The names of those that an endpoint takes, by itself or through what it depends on."""
    own = {parameter.alias for parameter in of.query_params}
    return own.union(*(_query_parameters(dependency) for dependency in of.dependencies))


def _require_known(given: Iterable[str], known: Collection[str]) -> None:
    """Refuse a query parameter that would otherwise be ignored: what it says is then not done. Raises Invalid."""
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f"Did you mean {near[0]}?" if near else f"There are {', '.join(sorted(known)) or 'none'} here."
            raise Invalid(name, f"There is no query parameter {name!r}. {meant}")


def reply(answer: Any, status: int = 200, *, version: int | None = None, location: str | None = None) -> Response:
    """JSON, with the ETag of a versioned entity."""
    headers = {}
    if version is not None:
        headers["ETag"] = f'"{version}"'
    if location is not None:
        headers["Location"] = location
    return Response(orjson.dumps(answer), status, headers, "application/json")


PathId = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,36}$")]
IdPart = Annotated[
    str | None, Query(pattern=r"^[A-Za-z0-9._-]{4,36}$", description="The first or last 4 or more characters of an id.")
]
OnlyTag = Annotated[str | None, Query(max_length=401, pattern=r"^[^\x00=][^\x00]*$", description="name or name=value")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=500, pattern=r"^[A-Za-z0-9_-]*$", description="Continue a listing.")]
