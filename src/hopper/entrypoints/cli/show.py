"""hopper show: a task with its delegations, its last decision, and what was said of it."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, TaskRef, connect
from hopper.entrypoints.cli.decisions import advise, explain
from hopper.entrypoints.cli.output import facts, moment, percent, say, say_json, tag_text
from hopper.entrypoints.cli.references import Names, find_task, if_any, names_of, short

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]


def show(task: TaskRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show a task, its lease, delegations, last decision and feedback."""
    with connect(server) as api:
        found = find_task(api, task)
        path = f"/tasks/{found['id']}"
        delegations, decisions = api.get(f"{path}/delegations"), api.get(f"{path}/decisions")
        feedback, lease = if_any(api, f"{path}/feedback"), if_any(api, f"{path}/lease")
        if json:
            said = {"delegations": delegations, "decisions": decisions, "feedback": feedback, "lease": lease}
            say_json({**found, **said})
            return
        names = _names(api, found, delegations, decisions, feedback)
        _show_task(found, names)
        if lease:
            _show_lease(lease)
        _show_delegations(delegations, names)
        if decisions:
            _show_decision(api, found, decisions[0], names)
        if feedback:
            _show_feedback(feedback, names)


def _names(
    api: "Api", task: Entity, delegations: list[Entity], decisions: list[Entity], feedback: Entity | None
) -> Names:
    ids = [task["instance_id"], task["source_instance_id"], (feedback or {}).get("should_have_routed_to")]
    for delegation in delegations:
        ids += [delegation["source_instance_id"], delegation["target_instance_id"]]
    for decision in decisions[:1]:
        ids += [decision["chosen_instance"], decision["outcome_instance"]]
        ids += [part["instance_id"] for part in (*decision["decision_factors"], *decision["alternatives"])]
    return names_of(api, ids)


def _show_task(task: Entity, names: Names) -> None:
    say(task["title"])
    facts(
        [
            ("id", task["id"]),
            ("status", task["status"]),
            ("priority", task["priority"]),
            ("project", task["project"]),
            ("instance", names.of(task["instance_id"])),
            ("tags", tag_text(task["tags"])),
            ("part of", short(task["parent_task_id"] or "")),
            ("duplicate of", short(task["duplicate_of"] or "")),
            ("depends on", ", ".join(short(id) for id in task["depends_on"])),
            ("source", task["source"]),
            ("created", moment(task["created_at"])),
            ("updated", moment(task["updated_at"])),
        ]
    )
    if task["description"]:
        say(f"\n{task['description']}")


def _show_lease(lease: Entity) -> None:
    worker = lease["worker"] or "a worker without a name"
    returned, expires = lease["returned_at"], lease["expires_at"]
    if not returned:
        say(f"\nLease: {worker} has it until {moment(expires)}")
        return
    gave_back = datetime.fromisoformat(returned) < datetime.fromisoformat(expires)
    how = f"gave it back, {moment(returned)}" if gave_back else f"let its lease run out, {moment(expires)}"
    say(f"\nLease: {worker} {how}{': ' + lease['reason'] if lease['reason'] else ''}")


def _show_delegations(delegations: list[Entity], names: Names) -> None:
    if delegations:
        say("\nDelegations")
    for one in delegations:
        sender = f"{names.of(one['source_instance_id'])} → ".removeprefix(" ")
        when = moment(one["delegated_at"])
        target = names.of(one["target_instance_id"])
        say(f"  {when}  {sender}{target}  {one['status']} ({one['delegation_type']})  {one['id']}")


def _show_decision(api: "Api", task: Entity, decision: Entity, names: Names) -> None:
    asked = decision["strategy"] != "feedback"
    say(f"\nLast decision, {moment(decision['routed_at'])}" if asked else "\nNever routed")
    explain(decision, names)
    advise(api, task, decision)
    if decision["outcome_success"] is not None:
        belongs = names.of(decision["outcome_instance"])
        verdict = "right" if decision["outcome_success"] else "wrong"
        say(f"  outcome  {verdict}{f'; it belongs to {belongs}' if belongs else ''}")


def _show_feedback(feedback: Entity, names: Names) -> None:
    say(f"\nFeedback, {moment(feedback['created_at'])}")
    quality = feedback["quality_score"]
    facts(
        [
            ("  good match", _yes_no(feedback["was_good_match"])),
            ("  should have gone to", names.of(feedback["should_have_routed_to"])),
            ("  quality", None if quality is None else percent(quality)),
            ("  complexity", feedback["complexity_rating"]),
            ("  rework", _yes_no(feedback["required_rework"])),
            ("  note", feedback["routing_feedback"]),
        ]
    )


def _yes_no(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def register(app: typer.Typer) -> None:
    app.command()(show)
