"""/tasks: filing, reading, changing, routing, and what was said of it afterwards."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hopper.app import duplicates, lifecycle, tasks
from hopper.app.explanations import ExplainedEpisode, explained_decisions
from hopper.domain.decision import Decision
from hopper.domain.delegation import Delegation
from hopper.domain.feedback import Feedback
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.entrypoints.entities import fields_of
from hopper.entrypoints.http.answers import FiledTask
from hopper.entrypoints.http.conventions import (
    RETRYABLE,
    VERSIONED,
    ApiRequest,
    ApiRoute,
    Cursor,
    IdPart,
    Limit,
    OnlyTag,
    PathId,
    reply,
)
from hopper.entrypoints.http.inside import kept_task, placed, shown_decision, shown_delegation, shown_task
from hopper.entrypoints.http.lease_requests import BY_ANYONE, Completion
from hopper.entrypoints.http.problems import problems
from hopper.entrypoints.http.requests import (
    EditTask,
    Id,
    NewDelegation,
    NewFeedback,
    NewTask,
    NewTaskToRoute,
)
from hopper.ports.repositories import Page, TaskFilter

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=ApiRoute)

Force = Annotated[bool, Query(description="Complete it although it depends on open tasks.")]


@router.post("", status_code=201, response_model=FiledTask, responses=problems(409), openapi_extra=RETRYABLE)
async def create_task(body: NewTaskToRoute, request: ApiRequest) -> Response:
    """File a task, and with `route` decide and delegate in the same call."""
    task, retry = placed(body.to_task(request.ports.clock.now()), request.asker), await request.retry()
    found = decision = None
    if body.on_duplicate:
        task, found = await duplicates.file_task(task, body.on_duplicate, ports=request.ports, retry=retry)
    else:
        task = await lifecycle.create_task(task, ports=request.ports, retry=retry)
    if retry:  # what the first try made may have been changed by others since
        task = await shown_task(task, request.ports)
    if body.route:
        decision = await lifecycle.route_task(task.id, ports=request.ports, once=True)
        decision = await shown_decision(decision, request.ports)
        async with request.ports.reading() as uow:
            task = await uow.tasks.get(task.id)
    answer = {**fields_of(task), "decision": decision, "duplicates": found}
    return reply(answer, 201, version=task.version, location=f"/api/v1/tasks/{task.id}")


@router.get("", response_model=Page[Task], responses=problems())
async def list_tasks(
    request: ApiRequest,
    status: TaskStatus | None = None,
    priority: Priority | None = None,
    project: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
    instance_id: Annotated[Id | None, Query()] = None,
    tag: OnlyTag = None,
    parent_task_id: Annotated[Id | None, Query()] = None,
    id: IdPart = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Tasks, newest first."""
    where = TaskFilter(
        status=status,
        priority=priority,
        project=project,
        instance_id=instance_id,
        tag=tag,
        parent_task_id=parent_task_id,
        id_part=id,
    )
    async with request.ports.reading() as uow:
        return reply(await uow.tasks.list(where, limit, cursor))


@router.get("/triage", response_model=Page[Task], responses=problems())
async def triage(request: ApiRequest, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Pending tasks that nobody holds: never routed, abstained on, rejected or recalled. Oldest first."""
    async with request.ports.reading() as uow:
        return reply(await uow.tasks.triage(limit, cursor))


@router.get("/ready", response_model=Page[Task], responses=problems())
async def ready(
    request: ApiRequest, instance_id: Annotated[Id | None, Query()] = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Pending tasks that wait for no other, in the order in which they are handed out: urgent ones, then the oldest."""
    async with request.ports.reading() as uow:
        return reply(await uow.tasks.ready(limit, cursor, instance_id))


@router.get("/{task_id}", response_model=Task, responses=problems(404))
async def get_task(task_id: PathId, request: ApiRequest) -> Response:
    """One task; its version is in the ETag."""
    async with request.ports.reading() as uow:
        task = await uow.tasks.get(task_id)
    return reply(task, version=task.version)


@router.patch("/{task_id}", response_model=Task, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def edit_task(task_id: PathId, body: EditTask, request: ApiRequest) -> Response:
    """Change the given fields. Setting the status to done completes the task."""
    changes = await kept_task(task_id, body.changes(), request.ports)
    task = await tasks.edit_task(task_id, changes, ports=request.ports, expected_version=request.expected_version)
    return reply(await shown_task(task, request.ports), version=task.version)


@router.put("/{task_id}", response_model=Task, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def replace_task(task_id: PathId, body: NewTask, request: ApiRequest) -> Response:
    """Replace all that a person can say of a task; what is left out goes back to its default."""
    given = fields_of(body.to_task(request.ports.clock.now()))
    changes = await kept_task(task_id, {name: given[name] for name in EditTask.model_fields}, request.ports)
    task = await tasks.edit_task(task_id, changes, ports=request.ports, expected_version=request.expected_version)
    return reply(await shown_task(task, request.ports), version=task.version)


@router.delete("/{task_id}", status_code=204, responses=problems(404, 412), openapi_extra=VERSIONED)
async def delete_task(task_id: PathId, request: ApiRequest) -> None:
    """Remove a task and everything that says something of it."""
    await tasks.delete_task(task_id, ports=request.ports, expected_version=request.expected_version)


@router.post("/{task_id}/route", response_model=Decision, responses=problems(404, 409), openapi_extra=RETRYABLE)
async def route_task(
    task_id: PathId,
    request: ApiRequest,
    dry_run: Annotated[bool, Query(description="Decide, but change nothing.")] = False,
    by: Annotated[Id | None, Query(description="The instance that decides.")] = None,
) -> Response:
    """Decide who should take the task, and delegate it unless Hopper abstains."""
    decision = await lifecycle.route_task(
        task_id, ports=request.ports, by=by, dry_run=dry_run, retry=await request.retry()
    )
    return reply(await shown_decision(decision, request.ports))


@router.get("/{task_id}/decisions", response_model=tuple[ExplainedEpisode, ...], responses=problems(404))
async def decisions(task_id: PathId, request: ApiRequest) -> Response:
    """The decisions about the task, newest first: their factors, what would have changed them, and their outcomes."""
    return reply(await explained_decisions(task_id, ports=request.ports))


@router.post("/{task_id}/complete", response_model=Task, responses=problems(404, 409, 412), openapi_extra=VERSIONED)
async def complete_task(
    task_id: PathId, request: ApiRequest, force: Force = False, body: Completion = BY_ANYONE
) -> Response:
    """The task is done."""
    task = await lifecycle.complete_task(
        task_id,
        ports=request.ports,
        force=force,
        expected_version=request.expected_version,
        token=body.token,
    )
    return reply(await shown_task(task, request.ports), version=task.version)


@router.put("/{task_id}/feedback", response_model=Feedback, responses=problems(404))
async def put_feedback(task_id: PathId, body: NewFeedback, request: ApiRequest) -> Response:
    """Say how the decision went. The very next decision knows it."""
    return reply(
        await lifecycle.give_feedback(body.to_feedback(task_id, request.ports.clock.now()), ports=request.ports)
    )


@router.get("/{task_id}/feedback", response_model=Feedback, responses=problems(404))
async def get_feedback(task_id: PathId, request: ApiRequest) -> Response:
    """What was said of the decision."""
    async with request.ports.reading() as uow:
        return reply(await uow.feedback.get(task_id))


@router.post("/{task_id}/delegations", status_code=201, response_model=Delegation, responses=problems(404, 409))
async def delegate_task(task_id: PathId, body: NewDelegation, request: ApiRequest) -> Response:
    """Hand the task to an instance by hand; recalls a delegation to another one."""
    delegation = await lifecycle.delegate_task(
        task_id, body.target_instance_id, ports=request.ports, by=body.source_instance_id
    )
    return reply(await shown_delegation(delegation, request.ports), 201)


@router.get("/{task_id}/delegations", response_model=tuple[Delegation, ...], responses=problems(404))
async def delegations(task_id: PathId, request: ApiRequest) -> Response:
    """Who the task was handed to, in order."""
    async with request.ports.reading() as uow:
        await uow.tasks.get(task_id)
        return reply(await uow.delegations.of_task(task_id))
