"""What a local instance answers: a few lines around each use case, by the API's methods and paths."""

from dataclasses import replace
from secrets import token_hex
from typing import Any

from hopper.app import lifecycle, tasks
from hopper.domain.errors import HopperError, NotFound
from hopper.domain.ids import slug
from hopper.domain.instance import InstanceStatus, InstanceType, Scope
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.entrypoints.entities import fields_of
from hopper.entrypoints.local import graph
from hopper.entrypoints.local.calls import Call, Routes
from hopper.ports import Ports
from hopper.ports.repositories import TaskFilter

ROUTES = Routes()
graph.add_to(ROUTES)


def new_task_id() -> str:
    """As local instances have always named their tasks."""
    return f"task-{token_hex(4)}"


async def _embedded(call: Call) -> None:
    from hopper.app.foreground import embed_waiting

    await embed_waiting(call.ports)


async def _prepared(call: Call) -> None:
    from hopper.app.foreground import prepare_decisions

    await prepare_decisions(call.ports)


@ROUTES("POST", "/tasks")
async def create_task(call: Call) -> Any:
    from hopper.entrypoints.http.requests import NewTaskToRoute

    body = call.read(NewTaskToRoute)
    task = replace(body.to_task(call.ports.clock.now()), id=new_task_id())
    found = decision = None
    if body.on_duplicate:
        from hopper.app import duplicates

        await _embedded(call)
        task, found = await duplicates.file_task(task, body.on_duplicate, ports=call.ports)
    else:
        task = await lifecycle.create_task(task, ports=call.ports)
    if body.route:
        try:
            await _prepared(call)
            decision = await lifecycle.route_task(task.id, ports=call.ports, once=True)
        except HopperError as error:
            error.message += f" The task is filed; then `hopper route {task.id}`."
            raise
        task = await _task(call, task.id)
    return {**fields_of(task), "decision": decision, "duplicates": found}


async def file_task(task: Task, ports: Ports) -> Any:
    """As create_task, for one that needs no check and nothing else."""
    return {**fields_of(await lifecycle.create_task(task, ports=ports)), "decision": None, "duplicates": None}


@ROUTES("POST", "/tasks/import")
async def import_records(call: Call) -> Any:
    from hopper.entrypoints.http.answers import TakenOver
    from hopper.entrypoints.http.moving_requests import Import

    return TakenOver(await call.read(Import).taken_over(call.ports))


@ROUTES("POST", "/tasks/bulk")
async def import_lines(call: Call) -> Any:
    """The body is the lines themselves."""
    from hopper.app.imports import import_tasks
    from hopper.entrypoints.http.answers import Imported
    from hopper.entrypoints.http.moving_requests import read_rows

    now, atomic, dry_run = call.ports.clock.now(), call.query["atomic"], call.query["dry_run"]
    return Imported.of(await import_tasks(read_rows(call.body, now), atomic=atomic, dry_run=dry_run, ports=call.ports))


@ROUTES("PUT", "/pushed/{id}")
async def recognise_server(call: Call) -> Any:
    """Know a server by its id from now on, whatever its address."""
    from hopper.app.pushing import recognise

    await recognise(call.id, call.body["address"], ports=call.ports)


@ROUTES("POST", "/pushed")
async def link_tasks(call: Call) -> Any:
    """What is to be sent to a server of the tasks that a person hands to somebody there."""
    from hopper.app.pushing import link

    return await link(call.body["task_ids"], call.body["server"], ports=call.ports)


@ROUTES("GET", "/pushed")
async def pushed_tasks(call: Call) -> Any:
    from hopper.app.pushing import links

    return await links(call.query["server"], ports=call.ports)


@ROUTES("PUT", "/pushed")
async def follow_copies(call: Call) -> Any:
    """Take over what has changed in the copies."""
    from hopper.app.pushing import follow
    from hopper.entrypoints.http.moving_requests import OwnRecord

    copies = [replace(call, body=copy).read(OwnRecord).to_record() for copy in call.body["copies"]]
    return await follow(copies, call.body["server"], call.body["states"], ports=call.ports)


@ROUTES("GET", "/tasks")
async def list_tasks(call: Call) -> Any:
    where = replace(_filter(call), parent_task_id=call.query.get("parent_task_id"), id_part=call.query.get("id"))
    async with call.ports.reading() as uow:
        return await uow.tasks.list(where, *call.page)


@ROUTES("GET", "/tasks/triage")
async def triage(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.tasks.triage(*call.page)


@ROUTES("GET", "/tasks/ready")
async def ready(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.tasks.ready(*call.page, call.query.get("instance_id"))


@ROUTES("GET", "/tasks/{id}")
async def get_task(call: Call) -> Any:
    return await _task(call, call.id)


async def _task(call: Call, id: str) -> Task:
    async with call.ports.reading() as uow:
        return await uow.tasks.get(id)


@ROUTES("PATCH", "/tasks/{id}")
async def edit_task(call: Call) -> Any:
    from hopper.entrypoints.http.requests import EditTask

    changes = call.read(EditTask).changes()
    return await tasks.edit_task(call.id, changes, ports=call.ports, expected_version=call.version)


@ROUTES("DELETE", "/tasks/{id}")
async def delete_task(call: Call) -> Any:
    await tasks.delete_task(call.id, ports=call.ports)


@ROUTES("POST", "/tasks/{id}/complete")
async def complete_task(call: Call) -> Any:
    from hopper.entrypoints.http.lease_requests import Completion

    token, force = call.read(Completion).token, bool(call.query.get("force"))
    return await lifecycle.complete_task(call.id, ports=call.ports, force=force, token=token)


@ROUTES("POST", "/tasks/{id}/route")
async def route_task(call: Call) -> Any:
    dry_run = bool(call.query.get("dry_run"))
    await _prepared(call)
    return await lifecycle.route_task(call.id, ports=call.ports, by=call.query.get("by"), dry_run=dry_run)


@ROUTES("GET", "/tasks/{id}/decisions")
async def decisions(call: Call) -> Any:
    from hopper.app.explanations import explained_decisions

    return await explained_decisions(call.id, ports=call.ports)


@ROUTES("PUT", "/tasks/{id}/feedback")
async def put_feedback(call: Call) -> Any:
    from hopper.entrypoints.http.requests import NewFeedback

    said = call.read(NewFeedback).to_feedback(call.id, call.ports.clock.now())
    return await lifecycle.give_feedback(said, ports=call.ports)


@ROUTES("GET", "/tasks/{id}/feedback")
async def get_feedback(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.feedback.get(call.id)


@ROUTES("POST", "/tasks/{id}/delegations")
async def delegate_task(call: Call) -> Any:
    from hopper.entrypoints.http.requests import NewDelegation

    body = call.read(NewDelegation)
    return await lifecycle.delegate_task(call.id, body.target_instance_id, ports=call.ports, by=body.source_instance_id)


@ROUTES("GET", "/tasks/{id}/delegations")
async def delegations_of(call: Call) -> Any:
    async with call.ports.reading() as uow:
        await uow.tasks.get(call.id)
        return await uow.delegations.of_task(call.id)


@ROUTES("POST", "/tasks/claim")
async def claim_task(call: Call) -> Any:
    from hopper.app import leases
    from hopper.entrypoints.http.lease_requests import NewClaim

    body = call.read(NewClaim)
    return await leases.claim_task(body.instance_id, body.worker, body.duration, ports=call.ports)


@ROUTES("GET", "/tasks/{id}/lease")
async def get_lease(call: Call) -> Any:
    async with call.ports.reading() as uow:
        lease = await uow.leases.find(call.id)
    if lease is None:
        raise NotFound("lease on a task", call.id)
    return lease.shown()


@ROUTES("POST", "/tasks/{id}/heartbeat")
async def heartbeat(call: Call) -> Any:
    from hopper.app import leases
    from hopper.entrypoints.http.lease_requests import Heartbeat

    body = call.read(Heartbeat)
    return await leases.heartbeat(call.id, body.proof, body.duration, ports=call.ports)


@ROUTES("POST", "/tasks/{id}/release")
async def release_task(call: Call) -> Any:
    from hopper.app import leases
    from hopper.entrypoints.http.lease_requests import Release

    body = call.read(Release)
    return await leases.release_task(call.id, body.proof, ports=call.ports, reason=body.reason)


@ROUTES("POST", "/instances")
async def create_instance(call: Call) -> Any:
    """Below the directory's own, unless another parent is named; its id is its name, as far as that can be one."""
    from hopper.app import instances
    from hopper.entrypoints.http.requests import NewInstance

    body = call.read(NewInstance)
    instance = body.to_instance(call.ports.clock.now())
    async with call.ports.reading() as uow:
        known = await instances.all_instances(uow)
    id = slug(body.name) or f"instance-{token_hex(2)}"
    if any(one.id == id for one in known):
        id = f"{id}-{token_hex(2)}"
    own = next((one.id for one in known if one.parent_id is None), None)
    kind = body.instance_type if "instance_type" in body.model_fields_set else InstanceType.EMBEDDED
    instance = replace(instance, id=id, instance_type=kind, parent_id=body.parent_id or own)
    return await instances.create_instance(instance, ports=call.ports)


@ROUTES("GET", "/instances")
async def list_instances(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.instances.list(
            *call.page,
            scope=call.one_of(Scope, "scope"),
            status=call.one_of(InstanceStatus, "status"),
            name=call.query.get("name"),
            id_part=call.query.get("id"),
        )


@ROUTES("GET", "/instances/{id}")
async def get_instance(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.instances.get(call.id)


@ROUTES("PATCH", "/instances/{id}")
async def edit_instance(call: Call) -> Any:
    from hopper.app import instances
    from hopper.entrypoints.http.requests import EditInstance

    changes = call.read(EditInstance).changes()
    return await instances.edit_instance(call.id, changes, ports=call.ports, expected_version=call.version)


@ROUTES("DELETE", "/instances/{id}")
async def delete_instance(call: Call) -> Any:
    from hopper.app import instances

    await instances.delete_instance(call.id, ports=call.ports)


@ROUTES("GET", "/instances/{id}/hierarchy")
async def hierarchy(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.instances.hierarchy(call.id)


@ROUTES("GET", "/instances/{id}/delegations")
async def delegations_to(call: Call) -> Any:
    from hopper.domain.delegation import DelegationStatus

    async with call.ports.reading() as uow:
        await uow.instances.get(call.id)
        return await uow.delegations.to_instance(call.id, *call.page, call.one_of(DelegationStatus, "status"))


def _add_switch(action: str, status: InstanceStatus) -> None:
    async def switch(call: Call) -> Any:
        from hopper.app import instances

        return await instances.edit_instance(call.id, {"status": status}, ports=call.ports)

    ROUTES("POST", f"/instances/{{id}}/{action}")(switch)


_add_switch("start", InstanceStatus.RUNNING)
_add_switch("stop", InstanceStatus.STOPPED)
_add_switch("pause", InstanceStatus.PAUSED)
_add_switch("resume", InstanceStatus.RUNNING)


@ROUTES("POST", "/delegations/{id}/accept")
async def accept(call: Call) -> Any:
    return await lifecycle.accept_delegation(call.id, ports=call.ports)


@ROUTES("POST", "/delegations/{id}/reject")
async def reject(call: Call) -> Any:
    return await lifecycle.reject_delegation(call.id, ports=call.ports)


@ROUTES("POST", "/delegations/{id}/complete")
async def complete(call: Call) -> Any:
    return await lifecycle.complete_delegation(call.id, ports=call.ports, force=bool(call.query.get("force")))


@ROUTES("POST", "/patterns")
async def create_pattern(call: Call) -> Any:
    from hopper.app import patterns
    from hopper.entrypoints.http.requests import NewPattern

    return await patterns.create_pattern(call.read(NewPattern).to_pattern(call.ports.clock.now()), ports=call.ports)


@ROUTES("GET", "/patterns")
async def list_patterns(call: Call) -> Any:
    from hopper.domain.pattern import PatternSource

    async with call.ports.reading() as uow:
        return await uow.patterns.list(
            *call.page,
            target_instance=call.query.get("target_instance"),
            is_active=call.query.get("is_active"),
            source=call.one_of(PatternSource, "source"),
            id_part=call.query.get("id"),
        )


@ROUTES("GET", "/patterns/{id}")
async def get_pattern(call: Call) -> Any:
    async with call.ports.reading() as uow:
        return await uow.patterns.get(call.id)


@ROUTES("PATCH", "/patterns/{id}")
async def edit_pattern(call: Call) -> Any:
    from hopper.app import patterns
    from hopper.entrypoints.http.requests import EditPattern

    changes = call.read(EditPattern).changes()
    return await patterns.edit_pattern(call.id, changes, ports=call.ports, expected_version=call.version)


@ROUTES("DELETE", "/patterns/{id}")
async def delete_pattern(call: Call) -> Any:
    from hopper.app import patterns

    await patterns.delete_pattern(call.id, ports=call.ports)


@ROUTES("POST", "/patterns/match")
async def match_patterns(call: Call) -> Any:
    from hopper.app import patterns
    from hopper.entrypoints.http.requests import TaskToMatch

    body = call.read(TaskToMatch)
    await _embedded(call)
    task = await _task(call, body.task_id) if body.task_id else body.to_task(call.ports.clock.now())
    return await patterns.match_patterns(task, ports=call.ports)


@ROUTES("POST", "/learning/consolidate")
async def consolidate_patterns(call: Call) -> Any:
    from hopper.app.consolidation import consolidate

    return await consolidate(ports=call.ports, dry_run=bool(call.query.get("dry_run")))


@ROUTES("POST", "/learning/backtest")
async def backtest(call: Call) -> Any:
    from hopper.entrypoints.http.requests import NewBacktest

    await _embedded(call)
    return await call.read(NewBacktest).backtest(call.ports)


@ROUTES("POST", "/learning/rebuild")
async def rebuild_text_model(call: Call) -> Any:
    from hopper.app.training import rebuild

    return await rebuild(ports=call.ports)


@ROUTES("GET", "/learning/statistics")
async def statistics(call: Call) -> Any:
    """Without what waits to be embedded: a search does that first, and so does whoever decides."""
    async with call.ports.reading() as uow:
        return replace(await uow.episodes.statistics(), queue={})


@ROUTES("GET", "/search")
async def search_tasks(call: Call) -> Any:
    from hopper.app.search import search
    from hopper.domain.query import Mode

    mode = call.one_of(Mode, "mode") or Mode.HYBRID
    await _embedded(call)
    return await search(call.query["q"], mode, _filter(call), *call.page, ports=call.ports)


@ROUTES("GET", "/tasks/{id}/similar")
async def similar(call: Call) -> Any:
    from hopper.app.search import similar_tasks

    await _embedded(call)
    return await similar_tasks(call.id, _filter(call), call.page[0], ports=call.ports)


def _filter(call: Call) -> TaskFilter:
    return TaskFilter(
        status=call.one_of(TaskStatus, "status"),
        priority=call.one_of(Priority, "priority"),
        project=call.query.get("project"),
        instance_id=call.query.get("instance_id"),
        tag=call.query.get("tag"),
        source=call.query.get("source"),
    )
