"""hopper pattern …: rules that send tasks to an instance."""

from typing import Annotated, Any

import typer

from hopper.domain.pattern import PatternSource, PatternType
from hopper.domain.task import Priority
from hopper.entrypoints.cli.bodies import given, tags_of
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, Json, Limit, Server, Tags, connect
from hopper.entrypoints.cli.output import facts, moment, more_note, note, percent, say, say_json, table
from hopper.entrypoints.cli.references import find_pattern, instance_id, names_of, short, task_id

Entity = dict[str, Any]

Ref = Annotated[str, typer.Argument(metavar="PATTERN", help="Its id, or 4 or more characters from either end.")]
Terms = list[str] | None
Tag = Annotated[Terms, typer.Option("--tag", "-t", help="Tasks with one of these tags, name or name=value.")]
EveryTag = Annotated[Terms, typer.Option(help="Tasks with every one of these tags.")]
WithoutTag = Annotated[Terms, typer.Option(help="Not tasks with one of these tags.")]
Text = Annotated[Terms, typer.Option(help="Tasks with one of these words or phrases.")]
EveryText = Annotated[Terms, typer.Option(help="Tasks with every one of these words or phrases.")]
WithoutText = Annotated[Terms, typer.Option(help="Not tasks with one of these words or phrases.")]
PriorityOption = Annotated[Priority | None, typer.Option("--priority", "-p", help="Tasks of this priority.")]
Description = Annotated[str | None, typer.Option("--description", "-d", help="What it is for.")]
Confidence = Annotated[float | None, typer.Option(min=0, max=1, help="How sure it is.")]

_KINDS = {"tag": "tag_criteria", "text": "text_criteria", "priority": "priority_criteria"}


def add(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    to: Annotated[str, typer.Option(metavar="INSTANCE", help="Who gets the tasks.")],
    tag: Tag = None,
    every_tag: EveryTag = None,
    without_tag: WithoutTag = None,
    text: Text = None,
    every_text: EveryText = None,
    without_text: WithoutText = None,
    priority: PriorityOption = None,
    confidence: Confidence = None,
    description: Description = None,
    active: Annotated[bool, typer.Option(help="Whether it counts.")] = True,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Add a pattern. It decides before anything learned. With several kinds of criteria, all must match."""
    criteria = _criteria((tag, every_tag, without_tag), (text, every_text, without_text), priority)
    if not criteria:
        raise typer.BadParameter("Say which tasks it is for: --tag, --text or --priority (see --help).")
    with connect(server) as api:
        body = given(name=name, description=description, confidence=confidence, **criteria)
        body |= {
            "pattern_type": _type_of(criteria),
            "target_instance": instance_id(api, to),
            "is_active": active,
        }
        pattern = api.create("/patterns", body)
    _tell(pattern, json)


def ls(
    to: Annotated[str | None, typer.Option(metavar="INSTANCE", help="Only those that route to it.")] = None,
    active: Annotated[bool | None, typer.Option(help="Only those that count, or don't.")] = None,
    source: Annotated[PatternSource | None, typer.Option(help="Where they came from.")] = None,
    limit: Limit = 50,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """List patterns, the oldest first."""
    with connect(server) as api:
        target = instance_id(api, to)
        limits = None if all else limit
        page = api.listing("/patterns", limit=limits, target_instance=target, is_active=active, source=source)
        if json:
            say_json(page)
            return
        names = names_of(api, [pattern["target_instance"] for pattern in page["items"]])
    rows = [
        (
            short(one["id"]),
            one["name"],
            _said(one),
            names.of(one["target_instance"]) or one["target_name"] or one["target_scope"],
            percent(one["confidence"]),
            f"{one['success_count']}/{one['success_count'] + one['failure_count']}",
            one["source"] if one["is_active"] else f"{one['source']}, off",
        )
        for one in page["items"]
    ]
    columns = ("id", "name", "when", "to", "confidence", "right", "source")
    table(columns, rows, "No such patterns. `hopper pattern add` makes one.")
    more_note(page)


def show(pattern: Ref, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show a pattern and its record."""
    with connect(server) as api:
        found = find_pattern(api, pattern)
        if json:
            say_json(found)
            return
        names = names_of(api, [found["target_instance"]])
    say(found["name"])
    facts(
        [
            ("id", found["id"]),
            ("for", found["description"]),
            ("when", _said(found)),
            ("to", names.of(found["target_instance"]) or found["target_name"] or found["target_scope"]),
            ("confidence", percent(found["confidence"])),
            ("active", "yes" if found["is_active"] else "no"),
            ("source", found["source"]),
            ("used", found["usage_count"]),
            ("right", found["success_count"]),
            ("wrong", found["failure_count"]),
            ("created", moment(found["created_at"])),
            ("last used", moment(found["last_used_at"])),
        ]
    )


def edit(
    pattern: Ref,
    name: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    to: Annotated[str | None, typer.Option(metavar="INSTANCE", help="Who gets the tasks.")] = None,
    tag: Tag = None,
    every_tag: EveryTag = None,
    without_tag: WithoutTag = None,
    text: Text = None,
    every_text: EveryText = None,
    without_text: WithoutText = None,
    priority: PriorityOption = None,
    confidence: Confidence = None,
    description: Description = None,
    active: Annotated[bool | None, typer.Option(help="Whether it counts.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Change what is given. Criteria replace all that the pattern had; its record stays."""
    criteria = _criteria((tag, every_tag, without_tag), (text, every_text, without_text), priority)
    with connect(server) as api:
        changes = given(
            name=name,
            target_instance=instance_id(api, to),
            description=description,
            confidence=confidence,
            is_active=active,
        )
        if criteria:
            changes |= dict.fromkeys(_KINDS.values()) | criteria | {"pattern_type": _type_of(criteria)}
        if not changes:
            raise typer.BadParameter("Say what to change, such as --text or --no-active (see --help).")
        before = find_pattern(api, pattern)
        after = api.patch(f"/patterns/{before['id']}", changes, version=before["version"])
    _tell(after, json)


def rm(pattern: Ref, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Remove a pattern; the decisions that it carried stay."""
    with connect(server) as api:
        found = find_pattern(api, pattern)
        api.delete(f"/patterns/{found['id']}")
    if json:
        say_json(found)
        return
    say(f"Removed {found['name']}")


def _criteria(
    tags: tuple[Terms, Terms, Terms], texts: tuple[Terms, Terms, Terms], priority: Priority | None
) -> dict[str, Any]:
    """The criteria that were given, by the API's names."""
    return given(tag_criteria=_terms(*tags), text_criteria=_terms(*texts), priority_criteria=priority)


def _terms(any_of: Terms, every: Terms, without: Terms) -> dict[str, list[str]] | None:
    if not (any_of or every or without):
        return None
    return {"any": any_of or [], "all": every or [], "none": without or []}


def _type_of(criteria: dict[str, Any]) -> str:
    kinds = [kind for kind, field in _KINDS.items() if field in criteria]
    return kinds[0] if len(kinds) == 1 else PatternType.COMBINED.value


def _said(pattern: Entity) -> str:
    """The criteria in words: `tag any of backend; text every of card, abroad`."""
    said = []
    for kind in ("tag", "text"):
        terms = pattern[f"{kind}_criteria"] or {}
        for group, word in (("any", "any of"), ("all", "every of"), ("none", "none of")):
            if terms.get(group):
                said.append(f"{kind} {word} {', '.join(terms[group])}")
    if pattern["priority_criteria"]:
        said.append(f"priority {pattern['priority_criteria']}")
    return "; ".join(said)


def match(
    title: Annotated[str | None, typer.Argument(help="What a task would be called.")] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="A task that is there, instead of a title.")] = None,
    description: Annotated[str | None, typer.Option("--description", "-d", help="What the task is about.")] = None,
    tag: Tags = None,
    priority: PriorityOption = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show which patterns speak for a task and why, and which are nearest to it in meaning."""
    if (title is None) == (task is None):
        raise typer.BadParameter("Give either a title or --task.")
    with connect(server) as api:
        body = given(task_id=task_id(api, task), title=title, description=description, priority=priority)
        answer = api.post("/patterns/match", body | ({"tags": tags_of(tag)} if tag else {}), repeatable=True)
        if json:
            say_json(answer)
            return
        found = [(one, one["reason"]) for one in answer["matches"]]
        found += [(one, f"{one['similarity']:.2f} alike") for one in answer["nearest"]]
        names = names_of(api, [one["pattern"]["target_instance"] for one, _ in found])
    if answer["degraded"]:
        note("The embedder can't be reached: nothing is known of patterns that are only near.")
    rows = [
        (short(one["pattern"]["id"]), one["pattern"]["name"], names.of(one["pattern"]["target_instance"]), why)
        for one, why in found
    ]
    table(("id", "name", "to", "why"), rows, "No pattern speaks for it.")


def _tell(pattern: Entity, json: bool) -> None:
    if json:
        say_json(pattern)
    else:
        say(f"{short(pattern['id'])}  {pattern['name']}  ({_said(pattern)})")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Look after the rules that route tasks.")
    for command in (add, ls, show, edit, rm, match):
        group.command()(command)
    app.add_typer(group, name="pattern")
