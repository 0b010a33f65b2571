"""Problem details (RFC 9457) for everything that can go wrong."""

from collections.abc import Callable
from math import ceil
from typing import Any, cast

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hopper.domain.access import RateLimited
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
from hopper.entrypoints.http.permissions import permission_of
from hopper.entrypoints.logs import REQUEST_ID, where

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
