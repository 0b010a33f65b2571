"""hopper route, delegate and feedback: deciding who does a task, and how that went."""

from typing import Annotated

import typer

from hopper.entrypoints.cli.bodies import given
from hopper.entrypoints.cli.common import DEFAULT_SERVER, InstanceRef, Json, Server, TaskRef, connect
from hopper.entrypoints.cli.decisions import advise, explain, explain_change, names_in
from hopper.entrypoints.cli.output import say, say_json
from hopper.entrypoints.cli.references import find_instance, find_task, instance_id, short


def route(
    task: TaskRef,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, but change nothing.")] = False,
    by: Annotated[str | None, typer.Option(help="The instance that decides.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Decide who should do a task, say why, and delegate it."""
    with connect(server) as api:
        found = find_task(api, task)
        path = f"/tasks/{found['id']}/route"
        decision = api.post(path, repeatable=dry_run, dry_run=dry_run, by=instance_id(api, by))
        if json:
            say_json(decision)
            return
        say(f"{short(found['id'])}  {found['title']}")
        explain(decision, names_in(api, decision), dry_run=dry_run)
        if not dry_run:
            advise(api, found, decision)


def why(task: TaskRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Say why a task went where it went, and what would have changed that.

    The signed figures are weights, on one scale: how much a line speaks for an instance (+) or against it (-).
    """
    with connect(server) as api:
        found = find_task(api, task)
        decisions = api.get(f"/tasks/{found['id']}/decisions")
        if json:
            say_json(decisions)
            return
        say(f"{short(found['id'])}  {found['title']}")
        if not decisions:
            say(f"Nobody has decided about it yet: hopper route {short(found['id'])}")
            return
        names = names_in(api, decisions[0])
        explain(decisions[0], names)
        advise(api, found, decisions[0])
        explain_change(decisions[0], names)
    times = sum(decision["strategy"] != "feedback" for decision in decisions)
    if times > 1:
        say(f"It was decided {times} times; this is the last one (--json shows all).")


def delegate(task: TaskRef, instance: InstanceRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Hand a task to an instance yourself. Hopper learns from it."""
    with connect(server) as api:
        found, target = find_task(api, task), find_instance(api, instance)
        body = {"target_instance_id": target["id"]}
        delegation = api.post(f"/tasks/{found['id']}/delegations", body, repeatable=True)
        if json:
            say_json(delegation)
            return
        say(f"{short(found['id'])} → {target['name']} ({delegation['status']})")


def feedback(
    task: TaskRef,
    good: Annotated[bool, typer.Option("--good", help="The right instance had it.")] = False,
    bad: Annotated[bool, typer.Option("--bad", help="Another one should have had it.")] = False,
    should: Annotated[str | None, typer.Option(metavar="INSTANCE", help="Who should have had it.")] = None,
    quality: Annotated[float | None, typer.Option(min=0, max=1, help="How good the work is.")] = None,
    complexity: Annotated[int | None, typer.Option(min=1, max=5, help="From trivial to hard.")] = None,
    rework: Annotated[bool | None, typer.Option(help="Whether it had to be done again.")] = None,
    note: Annotated[str | None, typer.Option(help="In your own words.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Say how a decision went. It replaces what was said before; the very next decision knows it."""
    if good and bad:
        raise typer.BadParameter("Say either --good or --bad; nothing was noted.")
    with connect(server) as api:
        said = given(
            was_good_match=good if good or bad else None,
            should_have_routed_to=instance_id(api, should),
            quality_score=quality,
            complexity_rating=complexity,
            required_rework=rework,
            routing_feedback=note,
        )
        if not said:
            raise typer.BadParameter("Say how it went, such as --good, or --bad --should INSTANCE (see --help).")
        found = find_task(api, task)
        answer = api.put(f"/tasks/{found['id']}/feedback", {**said, "source": "cli"})
        if json:
            say_json(answer)
            return
        say(f"Noted for {short(found['id'])}: {found['title']}")


def register(app: typer.Typer) -> None:
    for command in (route, why, delegate, feedback):
        app.command()(command)
