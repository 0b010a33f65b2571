"""The graph's answers as trees for people to read."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from hopper.entrypoints.cli.output import Branch, counted, moment, percent
from hopper.entrypoints.cli.references import short

Entity = dict[str, Any]

_STYLES = {
    "done": "green",
    "completed": "green",
    "in_progress": "cyan",
    "accepted": "cyan",
    "pending": "yellow",
    "rejected": "red",
    "cancelled": "red",
    "recalled": "red",
}
_WHY = {
    "same_letters": "the same letters",
    "plural": "singular and plural",
    "one_edit": "one letter apart",
}
_ORPHANS = {
    "no_task": "A pattern asks for it, and no task has it",
    "one_task": "Just one task has it, and no pattern asks for it",
}


def chain(answer: Entity) -> Branch:
    return _task(answer["task"], children=map(_hop, answer["hops"]))


def waiting(answer: Entity) -> Branch:
    """What depends on the task, below what it depends on first; a task that comes again is named, no more."""
    tasks = {task["id"]: task for task in (answer["task"], *answer["tasks"])}
    dependents = _targets(answer["edges"], "DEPENDS_ON")
    root = _task(answer["task"], bold=True)
    seen = {answer["task"]["id"]}
    unfinished = [(root, iter(dependents[answer["task"]["id"]]))]
    while unfinished:
        branch, others = unfinished[-1]
        id = next(others, "")
        if not id:
            unfinished.pop()
        elif id in seen:
            branch.children.append(_again(tasks[id]))
        else:
            seen.add(id)
            branch.children.append(_task(tasks[id]))
            unfinished.append((branch.children[-1], iter(dependents[id])))
    return root


def path(answer: Entity) -> Branch:
    width = len(str(answer["total"]))
    first = answer["total"] - len(answer["tasks"]) + 1
    steps = [
        _task(task, before=f"{number:>{width}}  ", bold=task["id"] == answer["task"]["id"])
        for number, task in enumerate(answer["tasks"], first)
    ]
    return Branch([("In this order", "bold")], steps)


def lineage(answer: Entity) -> Branch:
    """From the topmost ancestor down to the last parts."""
    relatives = [*answer["ancestors"], answer["task"], *answer["descendants"]]
    branches = {one["id"]: _task(one, children=map(_handed, one["delegations"])) for one in relatives}
    asked = answer["task"]["id"]
    branches[asked].parts.insert(0, ("» ", "bold"))
    parts = _targets(answer["edges"], "SUBTASK_OF")
    for id, branch in branches.items():
        branch.children += [branches[part] for part in parts[id]]
    return branches[answer["ancestors"][-1]["id"] if answer["ancestors"] else asked]


def hierarchy(answer: Entity) -> Branch:
    below: list[Branch] = []
    for instance in answer["instances"]:
        branch = _instance(instance, below)
        below = [branch]
    asked = branch
    while asked.children:
        asked = asked.children[0]
    asked.parts.insert(0, ("» ", "bold"))
    return branch


def patterns(answer: Entity) -> Branch:
    rules = [
        Branch([(f"{percent(one['confidence']):>4}  ", "bold"), (f"{short(one['id'])}  ", "dim"), (one["name"], "")])
        for one in answer["patterns"]
    ]
    return _instance(answer["instance"], rules)


def hygiene(answer: Entity) -> list[Branch]:
    """Groups first; a double isn't told again as an orphan."""
    groups = [
        Branch(
            [(group["name"], "bold"), (f"  {_used(group)}", "dim")],
            [
                Branch([(double["name"], ""), (f"  {_used(double)}, {_WHY[double['why']]}", "dim")])
                for double in group["doubles"]
            ],
        )
        for group in answer["groups"]
    ]
    trees = [Branch([("Probably the same", "bold")], groups)]
    told = {double["name"] for group in answer["groups"] for double in group["doubles"]}
    orphans = [one for one in answer["orphans"] if one["name"] not in told]
    for why, heading in _ORPHANS.items():
        names = [Branch([(one["name"], "")]) for one in orphans if one["why"] == why]
        trees.append(Branch([(heading, "bold")], names))
    return [tree for tree in trees if tree.children]


def ping_pong(answer: Entity) -> list[Branch]:
    return [
        _task(task, says=f"came back {_times(task['returns'])}", children=map(_hop, task["hops"]))
        for task in answer["tasks"]
    ]


def bottlenecks(answer: Entity) -> list[Branch]:
    tasks = {
        node["id"]: {"id": node["id"], **node["properties"]} for node in answer["nodes"] if node["label"] == "Task"
    }
    dependents = _targets(answer["edges"], "DEPENDS_ON")
    return [
        _task(
            task,
            says=f"{task['waiting']} {'waits' if task['waiting'] == 1 else 'wait'}, "
            + (f"held by {task['holder']['name']}" if task["holder"] else "held by nobody"),
            children=[_task(tasks[id]) for id in dependents[task["id"]]],
        )
        for task in answer["tasks"]
    ]


def _targets(edges: Iterable[Entity], type: str) -> dict[str, list[str]]:
    """What edges of a type come from, by what they lead to."""
    found = defaultdict(list)
    for edge in edges:
        if edge["type"] == type:
            found[edge["target"]].append(edge["source"])
    return found


def _task(
    task: Entity, *, before: str = "", says: str = "", bold: bool = False, children: Iterable[Branch] = ()
) -> Branch:
    parts = [
        (before, ""),
        (f"{short(task['id'])}  ", "dim"),
        (f"{task['status']}  ", _STYLES[task["status"]]),
        (f"{says}  " if says else "", "bold"),
        (task["title"], "bold" if bold else ""),
    ]
    return Branch(parts, list(children))


def _again(task: Entity) -> Branch:
    return Branch([(f"{short(task['id'])}  ", "dim"), ("(again)  ", "dim"), (task["title"], "dim")])


def _instance(instance: Entity, children: list[Branch]) -> Branch:
    parts = [
        (f"{short(instance['id'])}  ", "dim"),
        (f"{instance['status']}  ", "green" if instance["status"] == "running" else "yellow"),
        (instance["name"], "bold"),
        (f"  {instance['scope']}", "dim"),
    ]
    return Branch(parts, children)


def _hop(hop: Entity) -> Branch:
    source = hop["source_name"] or short(hop["source_instance_id"] or "")
    lasted = f", {_lasted(hop)}" if hop["completed_at"] else ""
    return Branch(
        [
            (f"{moment(hop['delegated_at'])}  ", "dim"),
            (f"{hop['status']:<9}  ", _STYLES[hop["status"]]),
            (f"{source} → {hop['target_name']}".lstrip(), ""),
            (f"  {hop['delegation_type']}{lasted}", "dim"),
        ]
    )


def _handed(hop: Entity) -> Branch:
    return Branch(
        [
            (f"→ {hop['target_name']}  ", "magenta"),
            (f"{hop['status']}  ", _STYLES[hop["status"]]),
            (moment(hop["delegated_at"]), "dim"),
        ]
    )


def _lasted(hop: Entity) -> str:
    """How long it took, in its two greatest units."""
    span = datetime.fromisoformat(hop["completed_at"]) - datetime.fromisoformat(hop["delegated_at"])
    hours, seconds = divmod(max(span, timedelta()).seconds, 3600)
    units = ((span.days, "d"), (hours, "h"), (seconds // 60, "min"), (seconds % 60, "s"))
    said = [f"{count} {unit}" for count, unit in units if count > 0]
    return f"after {' '.join(said[:2])}" if said else "at once"


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _used(tag: Entity) -> str:
    patterns = f", {counted(tag['patterns'], 'pattern')}" if tag["patterns"] else ""
    return f"{counted(tag['tasks'], 'task')}{patterns}"
