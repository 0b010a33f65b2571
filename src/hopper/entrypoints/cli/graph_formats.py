"""Nodes and edges as text that other programs draw: Mermaid and Graphviz, valid whatever stands in titles."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hopper.domain.graph import ENDS, EdgeType, Label
from hopper.entrypoints.cli.output import clipped
from hopper.entrypoints.cli.references import short

Entity = dict[str, Any]

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

_MEANS_SOMETHING = re.compile(r"(?!(?<=\d):(?=\d)|(?<=\w)-(?=\w))[^\w ,()]|_", re.ASCII)
"""What Mermaid could take for its own signs, for Markdown, or for HTML. Dates, times and hyphens are none of that."""

_MERMAID_SHAPES = {
    Label.TASK: '["{}"]',
    Label.INSTANCE: '("{}")',
    Label.PATTERN: '{{{{"{}"}}}}',
    Label.TAG: '(["{}"])',
}
_DOT_SHAPES = {Label.TASK: "box", Label.INSTANCE: "ellipse", Label.PATTERN: "hexagon", Label.TAG: "oval"}


def mermaid(nodes: Iterable[Entity], edges: Iterable[Entity]) -> str:
    """A flowchart. Signs that could mean something are written as their numbers (#35;), as Mermaid wants them."""
    names = _names(nodes)
    lines = ["flowchart LR"]
    for node, name in names.values():
        lines.append(f"    {name}{_MERMAID_SHAPES[Label(node['label'])].format(mermaid_text(_called(node)))}")
    for source, target, says in _drawn(names, edges):
        lines.append(f'    {source} -->|"{mermaid_text(says)}"| {target}')
    return "\n".join(lines)


def dot(nodes: Iterable[Entity], edges: Iterable[Entity]) -> str:
    """A digraph for Graphviz."""
    names = _names(nodes)
    lines = ["digraph hopper {", "    rankdir=LR;"]
    for node, name in names.values():
        lines.append(f"    {name} [shape={_DOT_SHAPES[Label(node['label'])]}, label={dot_text(_called(node))}];")
    for source, target, says in _drawn(names, edges):
        lines.append(f"    {source} -> {target} [label={dot_text(says)}];")
    return "\n".join([*lines, "}"])


def mermaid_text(text: str) -> str:
    """The inside of a quoted label."""
    return _MEANS_SOMETHING.sub(lambda sign: f"#{ord(sign[0])};" if sign[0].isascii() else sign[0], _one_line(text))


def dot_text(text: str) -> str:
    """A quoted label: backslashes would begin an escape such as \\N, and & an entity."""
    escaped = _one_line(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _one_line(text: str) -> str:
    """The text without line breaks; an empty label is none that Mermaid reads."""
    return " ".join(_CONTROL.sub(" ", text).split()) or "…"


def _names(nodes: Iterable[Entity]) -> dict[tuple[str, str], tuple[Entity, str]]:
    """The nodes by kind and id, each with a name that is no word of any language."""
    return {(node["label"], node["id"]): (node, f"n{number}") for number, node in enumerate(nodes)}


def _drawn(
    names: Mapping[tuple[str, str], tuple[Entity, str]], edges: Iterable[Entity]
) -> Iterator[tuple[str, str, str]]:
    """The edges as the names of their ends, and what they say."""
    for edge in edges:
        source, target = ENDS[EdgeType(edge["type"])]
        yield names[source, edge["source"]][1], names[target, edge["target"]][1], _says(edge)


def _called(node: Entity) -> str:
    of = node["properties"]
    match Label(node["label"]):
        case Label.TASK:
            return f"{short(node['id'])} {clipped(of['title'])} ({of['status']})"
        case Label.INSTANCE:
            return clipped(of["name"])
        case Label.PATTERN:
            return f"{clipped(of['name'])} ({of['confidence']:.0%})"
        case Label.TAG:
            return f"{clipped(node['id'])} ({of['tasks']})"


def _says(edge: Entity) -> str:
    of = edge["properties"]
    match EdgeType(edge["type"]):
        case EdgeType.DELEGATED_TO:
            return f"{of['status']} {of['delegated_at'][:16].replace('T', ' ')}"
        case EdgeType.CO_OCCURS_WITH:
            return f"{of['count']} together"
        case kind:
            return kind.lower().replace("_", " ")
