"""hopper push and pull: tasks of a local instance that a person hands to one on a server, and what becomes of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.adapters.markdown.servers import keep_server, known_servers
from hopper.domain.errors import Unavailable
from hopper.domain.moving import OWN, Fate
from hopper.domain.told import identifier, text
from hopper.entrypoints.cli.choice import LOCAL_SERVER, choose
from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, connect
from hopper.entrypoints.cli.output import clipped, note, progress, say, say_json
from hopper.entrypoints.cli.references import Names, NoMatch, find_instance, find_task, if_any, names_of, short

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_BATCH = 50
_UNSENT = 6
_NOT_THERE = (Fate.FAILED, Fate.REMOVED_HERE)

_There = Annotated[
    str,
    typer.Option("--server", envvar="HOPPER_SERVER", help="The server's address.", show_default=LOCAL_SERVER),
]

_Pushed = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="HOPPER_SERVER",
        help="The server's address.",
        show_default=f"the one that was pushed to, if it is one, else {LOCAL_SERVER}",
    ),
]


def push(
    tasks: Annotated[list[str], typer.Argument(metavar="TASK...", help="Ids, or 4 or more characters from an end.")],
    to: Annotated[str, typer.Option("--to", metavar="INSTANCE", help="Who should do them there: a name or an id.")],
    restore: Annotated[bool, typer.Option("--restore", help="Bring back what was removed there.")] = False,
    server: _There = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Hand tasks of the local instance to an instance on a server: these, and nothing else.

    Pushed again, the copies there follow what was changed here.
    """
    with _local() as here, connect(server or LOCAL_SERVER) as there:
        chosen = list(dict.fromkeys(find_task(here, reference)["id"] for reference in tasks))
        id, target = _id(here, there), find_instance(there, to)
        handed = here.post("/pushed", {"server": id, "task_ids": chosen})
        pushed = _send(there, handed, target["id"], restore)
        arrived = {one["server_task_id"] for one in pushed if one["outcome"] not in _NOT_THERE}
        pulled = _followed(here, there, id, [one for one in _links(here, id) if one["server_task_id"] in arrived])
        names = _named(there, pulled)
    if json:
        say_json({"server": there.address, "instance_id": target["id"], "pushed": pushed, "pulled": pulled})
    else:
        _tell_pushed(pushed, target["name"])
        _tell_pulled([one for one in pulled if one["outcome"] != Fate.UNCHANGED], names)
    if len(arrived) < len(pushed):
        raise typer.Exit(_UNSENT)


def pull(server: _Pushed = DEFAULT_SERVER, json: Json = False) -> None:
    """Hear what became of the tasks that were pushed to a server. What was changed here since stays as it is."""
    with _local() as here, connect(server or _only_one(here) or LOCAL_SERVER) as there:
        id = _id(here, there)
        results = _followed(here, there, id, _links(here, id))
        names = _named(there, results)
    if json:
        say_json({"server": there.address, "results": results})
        return
    if not results:
        note(f"Nothing was pushed from here to {there.address}.")
    _tell_pulled(results, names)


def _id(here: "Api", there: "Api") -> str:
    """The server's own, by which it is known here, whatever it is called from here."""
    id = there.understood(there.get("/sync/server"), lambda said: identifier(said["source_instance_id"]))
    here.put(f"/pushed/{id}", {"address": there.address})
    keep_server(Path(here.address), id, there.address)
    return id


def _only_one(here: "Api") -> str:
    """The server that tasks were pushed to from here, if it is one; the person is told which."""
    addresses = list(known_servers(Path(here.address)).values())
    if len(addresses) != 1:
        return ""
    note(f"Asking {addresses[0]}, the server that was pushed to from here.")
    return addresses[0]


def _links(here: "Api", server: str) -> list[Entity]:
    """The tasks that were pushed there, their copies, and how that stood before these are looked at."""
    found: list[Entity] = here.get("/pushed", server=server)
    return found


@contextmanager
def _local() -> Iterator["Api"]:
    from hopper.entrypoints.local.client import LocalClient

    directory = choose().directory
    if directory is None:
        raise NoMatch("There is no local instance here whose tasks could be pushed. `hopper init` makes one.")
    with LocalClient(directory, note) as here:
        yield here


def _send(there: "Api", handed: Sequence[Entity], target: str, restore: bool) -> list[Entity]:
    """Make the copies equal to the records as far as nobody has changed them there, and hand over what isn't yet."""
    from hopper.entrypoints.cli.moving import SENT, outcomes

    results: list[Entity] = []
    with progress("pushing", len(handed)) as show, _telling_how_far(results, len(handed)):
        for start in range(0, len(handed), _BATCH):
            batch = handed[start : start + _BATCH]
            records = [{name: one["record"][name] for name in SENT if one["record"][name] is not None} for one in batch]
            body = {"source": OWN, "records": records, "restore": restore}
            answers = outcomes(there, there.post("/tasks/import", body, repeatable=True), len(batch))
            for one, record, answer in zip(batch, records, answers, strict=True):
                id, is_there = record["external_id"], answer["outcome"] not in _NOT_THERE
                delegation = _handed_over(there, id, target) if is_there else None
                told = {name: answer[name] for name in ("outcome", "changed", "newer_here", "field", "detail")}
                ids = {"task_id": one["task_id"], "server_task_id": id}
                results.append({**ids, "title": record["title"], **told, "delegation": delegation})
            show(len(results))
    return results


def _handed_over(there: "Api", task_id: str, target: str) -> Entity | None:
    """The task's latest delegation to the target; a new one unless it is with them, done, or passed on by them."""
    to_target = [one for one in _delegations(there, task_id) if one["target_instance_id"] == target]
    if to_target and to_target[-1]["status"] in ("pending", "accepted", "completed"):
        return dict(to_target[-1])
    if there.understood(there.get(f"/tasks/{task_id}"), _copy)["status"] not in ("pending", "in_progress"):
        return None
    made = there.post(f"/tasks/{task_id}/delegations", {"target_instance_id": target}, repeatable=True)
    return there.understood(made, _delegation)


def _delegations(there: "Api", task_id: str) -> list[Entity]:
    """The task's delegations, in order."""
    answer = there.get(f"/tasks/{task_id}/delegations")
    return there.understood(answer, lambda said: [_delegation(one) for one in said])


def _copy(said: Any) -> Entity:
    text(said["status"])
    return dict(said)


def _delegation(said: Any) -> Entity:
    for name in ("target_instance_id", "status"):
        text(said[name])
    return dict(said)


def _followed(here: "Api", there: "Api", server: str, links: Sequence[Entity]) -> list[Entity]:
    """Read the copies of these tasks, then take over here what has changed in them."""
    from hopper.adapters.http.client import segment
    from hopper.entrypoints.cli.moving import SENT

    results: list[Entity] = []
    copies: list[Entity] = []
    with progress("looking", len(links)) as show:
        for number, link in enumerate(links, 1):
            task_id, copy_id = link["task_id"], link["server_task_id"]
            task, copy = here.get(f"/tasks/{segment(task_id)}"), if_any(there, f"/tasks/{copy_id}")
            told = {"task_id": task_id, "server_task_id": copy_id, "title": task["title"], "status": task["status"]}
            show(number)
            if copy is None:
                results.append({**told, "outcome": "gone"})
                continue
            copy = there.understood(copy, _copy)
            copies.append({"external_id": copy_id} | {name: copy[name] for name in SENT if copy.get(name) is not None})
            delegations = _delegations(there, copy_id)
            told |= {"server_status": copy["status"], "delegation": delegations[-1] if delegations else None}
            results.append(told)
    states = {link["server_task_id"]: link["state"] for link in links}
    body = {"server": server, "copies": copies, "states": states}
    outcomes = here.put("/pushed", body) if copies else ()
    by_copy = {outcome["external_id"]: outcome for outcome in outcomes}
    for told in results:
        if outcome := by_copy.get(told["server_task_id"]):
            told |= {name: outcome[name] for name in ("outcome", "changed", "newer_here", "field", "detail")}
    return results


def _tell_pushed(results: Sequence[Entity], target: str) -> None:
    for result in results:
        line = f"{short(result['task_id'])} → {target}  {clipped(result['title'])}"
        if result["outcome"] == Fate.FAILED:
            note(f"{line}: {result['field'] + ': ' if result['field'] else ''}{result['detail']}")
        elif result["outcome"] == Fate.REMOVED_HERE:
            note(f"{line}: it was removed there. --restore brings it back.")
        else:
            state = result["delegation"]["status"] if result["delegation"] else "closed"
            say(f"{line}  ({result['outcome'].replace('_here', ' there')}; {state})")


def _tell_pulled(results: Sequence[Entity], names: Names) -> None:
    for result in results:
        line = f"{short(result['task_id'])}  {clipped(result['title'])}"
        match result["outcome"]:
            case "gone":
                note(f"{line}: its copy isn't on the server. Push it again, if it should be there.")
            case Fate.FAILED:
                note(f"{line}: {result['field'] + ': ' if result['field'] else ''}{result['detail']}")
            case _:
                parts = [_changes(result)]
                if result["newer_here"]:
                    parts.append(f"changed on both sides, and left as it is here: {', '.join(result['newer_here'])}")
                say(f"{line}  ({'; '.join(filter(None, [*parts, _state(result['delegation'], names)]))})")


def _changes(result: Entity) -> str:
    changed = [name for name in result["changed"] if name != "status"]
    moved = f"{result['status']} → {result['server_status']}" if "status" in result["changed"] else ""
    return ", ".join(filter(None, [moved, *changed])) or "nothing new"


def _named(there: "Api", results: Sequence[Entity]) -> Names:
    return names_of(there, [one["delegation"]["target_instance_id"] for one in results if one.get("delegation")])


def _state(delegation: Entity | None, names: Names) -> str:
    return f"{names.of(delegation['target_instance_id'])}: {delegation['status']}" if delegation else ""


@contextmanager
def _telling_how_far(results: Sequence[Entity], of: int) -> Iterator[None]:
    far = "{} of {} tasks had arrived before that. Run the same command again: none of them gets there twice."
    try:
        yield
    except Unavailable as error:
        raise Unavailable(f"{error.message} {far.format(len(results), of)}") from None
    except KeyboardInterrupt:
        note(far.format(len(results), of))
        raise


def register(app: typer.Typer) -> None:
    app.command()(push)
    app.command()(pull)
