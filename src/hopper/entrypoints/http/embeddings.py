"""/embeddings: how they stand, what they lack, and changing models."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from hopper.app import embeddings
from hopper.domain.ids import MODEL_NAME
from hopper.entrypoints.http.conventions import ApiRequest, ApiRoute, Cursor, reply
from hopper.entrypoints.http.problems import problems

router = APIRouter(prefix="/embeddings", tags=["embeddings"], route_class=ApiRoute)

ModelName = Annotated[str, Path(max_length=100, pattern=MODEL_NAME, examples=["wordllama-64"])]
Model = Annotated[
    str | None,
    Query(max_length=100, pattern=r"^[^\x00]*$", description="the one that search moves to, unless another is named"),
]


@router.get("/status", response_model=embeddings.EmbeddingStatus, responses=problems())
async def status(request: ApiRequest) -> Response:
    """What waits for a vector, what each model has, and which one is searched."""
    return reply(await embeddings.embedding_status(ports=request.ports))


@router.get("/check", response_model=embeddings.Differences, responses=problems(404, 409))
async def check(request: ApiRequest, model: Model = None, cursor: Cursor = None) -> Response:
    """Compare a thousand entities with a model's vectors, both ways."""
    return reply(await embeddings.differences(cursor, ports=request.ports, model=model))


@router.post("/backfill", response_model=embeddings.Differences, responses=problems(409))
async def backfill(request: ApiRequest, cursor: Cursor = None) -> Response:
    """Queue those of a thousand entities that lack a current vector; the answer says which they are."""
    return reply(await embeddings.backfill(cursor, ports=request.ports))


@router.delete("/models/{model:path}", response_model=embeddings.Dropped, responses=problems(404, 409))
async def drop(request: ApiRequest, model: ModelName) -> Response:
    """Remove a model's indexes and up to 10,000 of its vectors. Repeat it until `is_done`."""
    return reply(await embeddings.drop_model(model, ports=request.ports))
