"""/sync: what Hoppers have learned comes north, and what many of them have in common goes south."""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPBearer

from hopper.app import northbound
from hopper.domain.access import Permission, Role
from hopper.domain.errors import Forbidden
from hopper.entrypoints.http.answers import Server
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, PathId, reply
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.sync_requests import EditSyncSource, NewSyncSource, NorthboundPayload
from hopper.sync.pack import PatternPack
from hopper.sync.sources import NewSource, SourceRecord, SyncReceipt, SyncSource

_bearer = HTTPBearer(
    scheme_name="source", description="The token of a source, as adding it gave it once.", auto_error=False
)


_WHOSE = "A source can be forgotten by itself, or by whoever may operate the server."


class SourceRoute(ApiRoute):
    """Asks whose token came with a request before anything of its body is read."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            sent = await _bearer(request)
            ports = ApiRequest(request.scope).ports
            request.state.source = await northbound.authenticate(sent.credentials if sent else None, ports=ports)
            return await handler(request)

        return handle


async def _source(request: Request) -> SyncSource:
    """Whose token came with the request, as its route has found out."""
    return cast(SyncSource, request.state.source)


Source = Annotated[SyncSource, Depends(_source)]

router = APIRouter(prefix="/sync", tags=["sync"], route_class=ApiRoute)
with_token = APIRouter(prefix="/sync", tags=["sync"], route_class=SourceRoute, dependencies=[Depends(_bearer)])


@with_token.post("/northbound", response_model=SyncReceipt, responses=problems(401, 403))
async def receive_northbound_sync(body: NorthboundPayload, request: ApiRequest, source: Source) -> Response:
    """Merge what a source has learned, all of it or nothing. Sending it again changes nothing."""
    payload = body.to_payload(sha256(await request.body()).hexdigest())
    return reply(await northbound.receive(payload, source, ports=request.ports))


@router.get("/southbound", response_model=PatternPack, responses=problems())
async def southbound_pack(request: ApiRequest) -> Response:
    """The patterns that enough sources have in common."""
    return reply(await northbound.pack(ports=request.ports))


@router.get("/server", response_model=Server, responses=problems())
async def this_server(request: ApiRequest) -> Response:
    """Which server this is, under whatever address."""
    async with request.ports.reading() as uow:
        return reply(Server(await uow.sync.identity()))


@with_token.get("/source", response_model=SyncSource, responses=problems(401, 403))
async def own_source(source: Source) -> Response:
    """Whose token this is, and the last `sequence` that it was heard with."""
    return reply(source)


@router.get("/sources", response_model=tuple[SourceRecord, ...], responses=problems())
async def list_sources(request: ApiRequest) -> Response:
    """Who may sync, and how much came from each; the oldest first."""
    async with request.ports.reading() as uow:
        return reply(await uow.sync.sources())


@router.post("/sources", status_code=201, response_model=NewSource, responses=problems(409))
async def add_source(body: NewSyncSource, request: ApiRequest) -> Response:
    """Let a Hopper sync. The token in the answer is shown this once. Also gives a revoked source a new one."""
    added = await northbound.add_source(body.source_instance_id, body.name, ports=request.ports)
    return reply(added, 201)


@router.patch("/sources/{source_instance_id}", response_model=SyncSource, responses=problems(404))
async def change_source(source_instance_id: PathId, body: EditSyncSource, request: ApiRequest) -> Response:
    """Mute a source, or change how many cases of a pattern it counts for at most."""
    changed = await northbound.change_source(
        source_instance_id, is_muted=body.is_muted, contribution_cap=body.contribution_cap, ports=request.ports
    )
    return reply(changed)


@router.post("/sources/{source_instance_id}/revoke", response_model=SyncSource, responses=problems(404))
async def revoke_source(source_instance_id: PathId, request: ApiRequest) -> Response:
    """Let a source push no more. What it sent stays; muting or forgetting it takes that away."""
    return reply(await northbound.revoke_source(source_instance_id, ports=request.ports))


@router.delete("/sources/{source_instance_id}", status_code=204, responses=problems(404))
async def forget_source(source_instance_id: PathId, request: ApiRequest) -> None:
    """Forget a source, and everything that came only from it."""
    if not request.asker.may(Permission.OPERATE):
        if request.asker.role is not Role.SYNC:
            raise Forbidden(_WHOSE)
        own = await northbound.authenticate(request.token, ports=request.ports)
        if own.source_instance_id != source_instance_id:
            raise Forbidden(_WHOSE)
    await northbound.forget_source(source_instance_id, ports=request.ports)
