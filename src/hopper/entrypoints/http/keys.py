"""/keys and /audit: who may ask, and who did what."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app import access
from hopper.domain.access import Asker, AuditEntry, Key, NewKey
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, Cursor, Limit, PathId, reply
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.requests import Id, NewApiKey
from hopper.ports.repositories import Page

router = APIRouter(tags=["access"], route_class=ApiRoute)


@router.get("/keys", response_model=tuple[Key, ...], responses=problems())
async def list_keys(request: ApiRequest) -> Response:
    """The keys that this one may look after, revoked ones too; the oldest first."""
    return reply(await access.list_keys(ports=request.ports))


@router.post("/keys", status_code=201, response_model=NewKey, responses=problems())
async def create_key(body: NewApiKey, request: ApiRequest) -> Response:
    """Make a key. Its token is in the answer this once, and nowhere else."""
    made = await access.create_key(
        body.name, body.role, within=body.instance_id, expires_at=body.expires_at, ports=request.ports
    )
    return reply(made, 201)


@router.get("/keys/own", response_model=Asker, responses=problems())
async def own_key(request: ApiRequest) -> Response:
    """Whose key this is, and what it is bound to."""
    return reply(request.asker)


@router.post("/keys/{key_id}/revoke", response_model=Key, responses=problems(404))
async def revoke_key(key_id: PathId, request: ApiRequest) -> Response:
    """Let a key be used no more. Other processes of the server heed it for a few seconds yet."""
    return reply(await access.revoke_key(key_id, ports=request.ports))


@router.get("/audit", response_model=Page[AuditEntry], responses=problems())
async def audit(
    request: ApiRequest,
    key_id: Annotated[Id | None, Query()] = None,
    entity_id: Annotated[Id | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Who did what, the newest first."""
    async with request.ports.reading() as uow:
        return reply(await uow.audit.list(limit, cursor, key_id=key_id, entity_id=entity_id))
