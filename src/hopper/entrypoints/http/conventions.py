"""What all endpoints share: answers, ETags, Idempotency-Keys, problem details, and reading JSON strictly."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from hashlib import sha256
from math import ceil
from typing import Annotated, Any, cast

import orjson
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.app.access import authenticate
from hopper.app.retry import Retry
from hopper.domain.access import HOPPER, Asker, Permission, RateLimited
from hopper.domain.duplicate import DuplicateTask
from hopper.domain.errors import (
    Conflict,
    Cycle,
    Forbidden,
    HopperError,
    IdempotencyMismatch,
    Invalid,
    LeaseLost,
    Misconfigured,
    NotFound,
    StaleVersion,
    Unauthorized,
    Unavailable,
)
from hopper.entrypoints.http.inside import require_inside
from hopper.entrypoints.http.permissions import permission_of
from hopper.entrypoints.logs import KEY_ID, REQUEST_ID, where
from hopper.ports import Ports
from hopper.ports.replica import Replica

READING = {"GET", "HEAD", "OPTIONS"}

STATUS: dict[type[HopperError], int] = {
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Cycle: 409,
    LeaseLost: 409,
    StaleVersion: 412,
    RateLimited: 429,
    Invalid: 422,
    IdempotencyMismatch: 422,
    Unavailable: 503,
    Misconfigured: 503,
}

_TITLES = {
    400: "The request can't be read",
    401: "Not known who asks",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "Conflict",
    412: "Changed since you read it",
    413: "Request too large",
    415: "Wrong Content-Type",
    421: "Not this server's name",
    422: "Invalid request",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}

_SLUGS = {
    400: "unreadable",
    404: "not-found",
    405: "method-not-allowed",
    408: "too-slow",
    413: "too-large",
    415: "media-type",
}


class FieldError(BaseModel):
    field: str
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457). `type` is stable: `urn:hopper:problem:` and a name."""

    type: str = Field(examples=["urn:hopper:problem:not-found"])
    title: str
    status: int
    detail: str
    request_id: str = Field("", description="The request's id, as X-Request-ID and the server's log have it.")
    errors: list[FieldError] | None = Field(None, description="Which fields are wrong, and why.")
    duplicates: list[Any] | None = Field(None, description="The tasks that are there already (type duplicate).")


_ALWAYS = (400, 401, 403, 413, 422, 429, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an endpoint, for OpenAPI."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _TITLES[status], "content": content} for status in {*statuses, *_ALWAYS}}


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
            bound = f", bound to the instance {known.within!r}" if known.within else ""
            raise Forbidden(f"The key {known.name!r} ({known.role}{bound}) may not do this: it takes {permission!r}.")
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
        with suppress(Unavailable):
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


def problem(
    status: int, slug: str, detail: str, errors: list[dict[str, str]] | None = None, **more: object
) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:hopper:problem:{slug}",
        "title": _TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        **more,
    }
    if request_id := REQUEST_ID.get():
        body["request_id"] = request_id
    if errors is not None:
        body["errors"] = errors
    return Response(orjson.dumps(body), status, media_type="application/problem+json")


def _hopper_error(_request: Request, error: Exception) -> Response:
    error = cast(HopperError, error)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    errors = [{"field": error.field, "detail": error.message}] if isinstance(error, Invalid) else None
    more = {"duplicates": error.duplicates} if isinstance(error, DuplicateTask) else {}
    response = problem(status, error.slug, error.message, errors, **more)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, RateLimited):
        response.headers["Retry-After"] = str(ceil(error.retry_after))
    return response


def _validation_error(request: Request, error: Exception) -> Response:
    errors = [
        {"field": _field(item["loc"]), "detail": _detail(item, request)}
        for item in cast(RequestValidationError, error).errors()
    ]
    named = "; ".join(f"{item['field']}: {item['detail']}" for item in errors[:3])
    return problem(422, "invalid", named, errors)


def _detail(item: dict[str, Any], request: Request) -> str:
    if tuple(item["loc"]) == ("body",) and "json" not in request.headers.get("content-type", ""):
        return "A body is JSON, and says so: Content-Type: application/json."
    if item["type"] == "json_invalid":
        return f"This is not JSON: {item['ctx']['error']}"
    return str(item["msg"]).removeprefix("Value error, ")


def _field(location: tuple[int | str, ...]) -> str:
    """`body.tags.0` without the part of the request; the part alone where the whole of it is wrong."""
    where = [str(step) for step in location]
    return ".".join(where[1:]) if len(where) > 1 and not isinstance(location[1], int) else where[0]


def _http_error(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    slug = _SLUGS.get(error.status_code, "error")
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"Nothing is at {request.url.path}. The API's paths begin with /api/v1; /docs shows them."
    response = problem(error.status_code, slug, detail)
    response.headers.update(error.headers or {})
    return response


_UNFORESEEN = "Something went wrong inside Hopper; its log says where. Look what is stored before you try again."


class LastResort:
    """Answers what nobody foresaw with a plain 500, and logs where it happened: never what the request said."""

    def __init__(self, app: ASGIApp, log: Callable[..., None]) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watching(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except ClientDisconnect:
            pass  # nobody is left to answer, and nothing is wrong
        except Exception as error:
            if scope["type"] != "http":
                raise
            self._log("request failed", error=type(error).__name__, where=where(error))
            if not started:
                await problem(500, "internal", _UNFORESEEN)(scope, receive, send)


def install(app: FastAPI, log: Callable[..., None]) -> None:
    """Problem details for everything that can go wrong."""
    app.add_exception_handler(HopperError, _hopper_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(LastResort, log=log)
    described = app.openapi

    def with_problem() -> dict[str, Any]:
        """FastAPI's description, and in it Problem: that isn't the model of any answer of its own."""
        description = described()
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        description["components"]["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
        description["components"].setdefault("securitySchemes", {})["key"] = {
            "type": "http",
            "scheme": "bearer",
            "description": "A key, as `hopper key create` gave it once.",
        }
        for path, methods in description["paths"].items():
            for method, operation in methods.items():
                if permission_of(method.upper(), path):
                    operation["security"] = [{"key": []}]
        return description

    app.openapi = with_problem  # type: ignore[method-assign]
