"""Putting the API together."""

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.routing import BaseRoute, Route

from hopper import __version__
from hopper.app.background import Repeating, at_work
from hopper.app.readiness import ReadinessWatch
from hopper.config import Settings
from hopper.entrypoints.http import (
    bulk,
    delegations,
    embeddings,
    graph,
    graph_upkeep,
    health,
    instances,
    keys,
    learning,
    leases,
    metrics,
    moving,
    patterns,
    problems,
    search,
    sync,
    tasks,
)
from hopper.entrypoints.http.guard import Guard
from hopper.entrypoints.http.limits import BodyLimit, Deadline
from hopper.entrypoints.http.observing import Observed, access_log
from hopper.entrypoints.http.permissions import API
from hopper.entrypoints.http.traffic import Traffic
from hopper.entrypoints.logs import is_json
from hopper.ports import Ports
from hopper.ports.spans import Spans

BULK = f"{API}/tasks/bulk"
NORTHBOUND = f"{API}/sync/northbound"
IMPORT = f"{API}/tasks/import"
LONG = frozenset({BULK, IMPORT, *(f"{API}/learning/{name}" for name in ("backtest", "consolidate", "rebuild"))})
"""What may take as long as it takes, however much there is."""


PARTS = (
    bulk,
    moving,
    leases,
    tasks,
    instances,
    delegations,
    patterns,
    learning,
    search,
    embeddings,
    graph_upkeep,
    graph,
    sync,
    keys,
)


_LOOK_SECONDS = 5.0

_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own would send paths, queries and the messages of errors, which may be what tasks say."""


def create_app(
    settings: Settings, opened: Callable[[], AbstractAsyncContextManager[Ports]], spans: Spans | None = None
) -> FastAPI:
    """The API over what `opened` opens at start and closes at the end; `spans` are told of each request."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened() as ports:
            app.state.ports = ports
            log = structlog.get_logger("hopper.readiness").warning
            app.state.readiness = watch = ReadinessWatch(ports, log)
            # A log that nobody asks for has to say what has gone, too.
            looking = Repeating(watch.look, _LOOK_SECONDS, "looking at the server's parts failed", log)
            async with at_work([looking]):
                yield

    app = FastAPI(
        title="Hopper",
        version=__version__,
        summary="Routes every task to whoever should do it, explains why, and learns from every outcome.",
        lifespan=lifespan,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        docs_url="/docs",
        telemetry=_NO_TELEMETRY,
    )
    app.state.longest_line = settings.max_body_bytes
    larger = {
        **dict.fromkeys((BULK, IMPORT), settings.max_bulk_bytes),
        NORTHBOUND: settings.sync.northbound.max_bytes,
    }
    app.add_middleware(BodyLimit, most=settings.max_body_bytes, exceptions=larger)
    app.add_middleware(Deadline, seconds=settings.request_timeout_seconds, long=LONG)
    problems.install(app, structlog.get_logger("hopper.http").error)
    app.add_middleware(Guard, bound_to=settings.host, names=settings.allowed_hosts)
    for part in PARTS:
        app.include_router(part.router, prefix=API)
    app.include_router(sync.with_token, prefix=API)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.state.traffic = Traffic()
    tell = access_log(is_json(settings.logging.format), settings.logging.level)
    app.add_middleware(Observed, templates=_templates(app), traffic=app.state.traffic, tell=tell, spans=spans)
    return app


def _templates(app: FastAPI) -> dict[Hashable, str]:
    """The path of each endpoint, with names in place of ids: what tells requests apart, and says nothing of tasks."""
    routers = [
        *((API, part.router) for part in PARTS),
        (API, sync.with_token),
        ("", health.router),
        ("", metrics.router),
    ]
    own = {route.endpoint: prefix + route.path for prefix, router in routers for route in _routes(router.routes)}
    return own | {route.endpoint: route.path for route in _routes(app.routes)}


def _routes(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    return (route for route in routes if isinstance(route, Route))
