"""/learning: what Hopper knows as a whole."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app.backtest import Backtest
from hopper.app.consolidation import Consolidation, consolidate
from hopper.app.training import rebuild
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, reply
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.requests import NewBacktest
from hopper.ports.repositories import Statistics
from hopper.ports.text_models import Learned

router = APIRouter(route_class=ApiRoute)


@router.get("/learning/statistics", response_model=Statistics, responses=problems(), tags=["learning"])
async def statistics(request: ApiRequest) -> Response:
    """How many tasks, decisions and outcomes there are, and how often the choice was right."""
    async with request.ports.reading() as uow:
        return reply(await uow.episodes.statistics())


@router.post("/learning/consolidate", response_model=Consolidation, responses=problems(), tags=["learning"])
async def consolidate_patterns(
    request: ApiRequest, dry_run: Annotated[bool, Query(description="Only say what would change.")] = False
) -> Response:
    """Learn patterns from all outcomes, and switch off those that outcomes contradict. Repeating it changes nothing."""
    # What isn't seen now counts as considered all the same, so that no client may be content with less than all.
    return reply(await consolidate(ports=request.ports.since(None), dry_run=dry_run))


@router.post("/learning/backtest", response_model=Backtest, responses=problems(), tags=["learning"])
async def backtest(body: NewBacktest, request: ApiRequest) -> Response:
    """Replay past decisions against a set of patterns and show what would have changed. Stores nothing."""
    return reply(await body.backtest(request.ports))


@router.post("/learning/rebuild", response_model=Learned, responses=problems(), tags=["learning"])
async def rebuild_text_model(request: ApiRequest) -> Response:
    """Make the text model again from the outcomes that it was made of, as they are known now."""
    return reply(await rebuild(ports=request.ports))
