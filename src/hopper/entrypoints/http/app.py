"""Putting the API together."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
from fastapi import FastAPI

from hopper import __version__
from hopper.config import Settings
from hopper.entrypoints.http import (
    bulk,
    conventions,
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
    search,
    sync,
    tasks,
)
from hopper.entrypoints.http.guard import Guard
from hopper.entrypoints.http.limits import BodyLimit, Deadline
from hopper.entrypoints.http.permissions import API
from hopper.ports import Ports

BULK = f"{API}/tasks/bulk"
NORTHBOUND = f"{API}/sync/northbound"
IMPORT = f"{API}/tasks/import"
LONG = frozenset({BULK, IMPORT, *(f"{API}/learning/{name}" for name in ("backtest", "consolidate", "rebuild"))})
"""What may take as long as it takes, however much there is."""


def create_app(settings: Settings, opened: Callable[[], AbstractAsyncContextManager[Ports]]) -> FastAPI:
    """The API over what `opened` opens at start and closes at the end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened() as ports:
            app.state.ports = ports
            yield

    app = FastAPI(
        title="Hopper",
        version=__version__,
        summary="Routes every task to whoever should do it, explains why, and learns from every outcome.",
        lifespan=lifespan,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        docs_url="/docs",
    )
    app.state.longest_line = settings.max_body_bytes
    larger = {
        **dict.fromkeys((BULK, IMPORT), settings.max_bulk_bytes),
        NORTHBOUND: settings.sync.northbound.max_bytes,
    }
    app.add_middleware(BodyLimit, most=settings.max_body_bytes, exceptions=larger)
    app.add_middleware(Deadline, seconds=settings.request_timeout_seconds, long=LONG)
    conventions.install(app, structlog.get_logger("hopper.http").error)
    app.add_middleware(Guard, bound_to=settings.host, names=settings.allowed_hosts)
    for part in (
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
    ):
        app.include_router(part.router, prefix=API)
    app.include_router(sync.with_token, prefix=API)
    app.include_router(health.router)
    app.include_router(metrics.router)
    return app
