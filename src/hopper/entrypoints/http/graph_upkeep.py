"""/graph: how the graph database stands, comparing it with the truth, and building it anew."""

from fastapi import APIRouter, Response

from hopper.app import graph_audit
from hopper.app.graph_projection import ask_for_rebuild, forget
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, Cursor, reply
from hopper.entrypoints.http.problems import problems

router = APIRouter(prefix="/graph", tags=["graph"], route_class=ApiRoute)


@router.get("/status", response_model=graph_audit.GraphStatus, responses=problems())
async def status(request: ApiRequest) -> Response:
    """Whether there is a graph database, how far it lags behind, and what is wrong with it."""
    return reply(await graph_audit.graph_status(ports=request.ports))


@router.get("/check", response_model=graph_audit.GraphDifferences, responses=problems(409))
async def check(request: ApiRequest, cursor: Cursor = None) -> Response:
    """Compare a part of the graph with the truth, both ways. Go on with `next_cursor` until there is none."""
    return reply(await graph_audit.graph_differences(cursor, ports=request.ports))


@router.post("/rebuild", status_code=202, response_model=graph_audit.GraphStatus, responses=problems(409))
async def rebuild(request: ApiRequest) -> Response:
    """Have the graph built anew from nothing, while writes go on; `status` tells how far that is."""
    await ask_for_rebuild(ports=request.ports)
    return reply(await graph_audit.graph_status(ports=request.ports), status=202)


@router.post("/forget", response_model=graph_audit.GraphStatus, responses=problems())
async def forgotten(request: ApiRequest) -> Response:
    """Keep no changes for a graph database any more. A server that has one begins anew by itself."""
    await forget(ports=request.ports)
    return reply(await graph_audit.graph_status(ports=request.ports))
