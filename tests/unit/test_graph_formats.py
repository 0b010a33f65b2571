"""Graphs as text for Mermaid and Graphviz, whatever stands in titles."""

import html
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopper.entrypoints.cli.graph_formats import dot, dot_text, mermaid, mermaid_text

HOSTILE = [
    'say "hello"',
    "a]b[c}d{e)f(g",
    "one\ntwo\r\nthree\u2028four\x85five",
    "%% a comment",
    '%%{init: {"theme":"x"}}%%',
    "<script>alert(1)</script> & <br/>",
    "ends with \\",
    '\\"; n0 -> n1 [label="',
    "C:\\new\\title \\N \\G \\l",
    "#quot; #35; &lt; &#60;",
    "style a:b #fff;",
    "`code` **bold** _it_ 1. list",
    "- list",
    "end",
    "--> n1 ; n2 | x",
    "☃ 支払い 🎉 é",
    "\x00\x07\x1b[31m",
    "",
]
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40))


def a_task(id: str, title: str) -> dict[str, Any]:
    return {"label": "Task", "id": id, "properties": {"title": title, "status": "pending"}}


def depends(source: str, target: str) -> dict[str, Any]:
    return {"type": "DEPENDS_ON", "source": source, "target": target, "properties": {}}


def undone(label: str) -> str:
    """What Mermaid shows for the inside of a quoted label."""
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label)


def one_line(text: str) -> str:
    return " ".join(re.sub("[\x00-\x1f\x7f-\x9f]", " ", text).split()) or "…"


@given(st.lists(texts, min_size=2, max_size=5))
def test_mermaid_has_a_line_for_each_node_and_edge(titles: list[str]) -> None:
    """One title could make a whole drawing unreadable, or draw what isn't there."""
    nodes = [a_task(f"end.{number}", title) for number, title in enumerate(titles)]
    text = mermaid(nodes, [depends("end.1", "end.0")])
    first, *lines = text.split("\n")
    assert first == "flowchart LR"
    assert text.splitlines() == [first, *lines]
    assert len(lines) == len(nodes) + 1
    for number, line in enumerate(lines[:-1]):
        assert re.fullmatch(
            rf'    n{number}\["[^"\[\]{{}}<>&%:;#`*|]*((#\d+;)[^"\[\]{{}}<>&%:;#`*|]*)*"\]',
            re.sub(r"(?<=\d):(?=\d)", "", line),
        )
    assert lines[-1] == '    n1 -->|"depends on"| n0'


@given(st.lists(texts, min_size=2, max_size=5))
def test_dot_has_a_line_for_each_node_and_edge(titles: list[str]) -> None:
    """One title could break off the drawing, or change others."""
    nodes = [a_task(f"end.{number}", title) for number, title in enumerate(titles)]
    text = dot(nodes, [depends("end.1", "end.0")])
    lines = text.splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("digraph hopper {", "    rankdir=LR;", "}")
    assert len(lines) == len(nodes) + 4
    for number, line in enumerate(lines[2:-2]):
        assert re.fullmatch(rf'    n{number} \[shape=box, label="([^"\\]|\\\\|\\")*"\];', line)
    assert lines[-2] == '    n1 -> n0 [label="depends on"];'


@pytest.mark.parametrize("text", HOSTILE)
def test_a_label_says_what_the_title_says(text: str) -> None:
    """A drawing would show signs that nobody wrote."""
    assert undone(mermaid_text(text)) == one_line(text)
    inside = dot_text(text)[1:-1]
    assert html.unescape(inside.replace('\\"', '"').replace("\\\\", "\\").replace("&amp;", "&amp;")) == one_line(text)


def test_every_kind_of_node_and_edge_can_be_drawn() -> None:
    """A command would end in an error for what it has just found."""
    nodes: list[dict[str, Any]] = [
        a_task("same", "A task"),
        {"label": "Instance", "id": "same", "properties": {"name": "payments"}},
        {"label": "Pattern", "id": "p", "properties": {"name": "rule", "confidence": 0.9}},
        {"label": "Tag", "id": "cards", "properties": {"tasks": 3}},
        {"label": "Tag", "id": "money", "properties": {"tasks": 2}},
    ]
    handed = {"status": "rejected", "delegated_at": "2026-01-05T09:00:00+00:00"}
    edges: list[dict[str, Any]] = [
        {"type": "DELEGATED_TO", "source": "same", "target": "same", "properties": handed},
        {"type": "ROUTES_TO", "source": "p", "target": "same", "properties": {}},
        {"type": "CO_OCCURS_WITH", "source": "cards", "target": "money", "properties": {"count": 2, "weight": 0.5}},
    ]
    assert mermaid(nodes, edges).splitlines() == [
        "flowchart LR",
        '    n0["same A task (pending)"]',
        '    n1("payments")',
        '    n2{{"rule (90#37;)"}}',
        '    n3(["cards (3)"])',
        '    n4(["money (2)"])',
        '    n0 -->|"rejected 2026-01-05 09:00"| n1',
        '    n2 -->|"routes to"| n1',
        '    n3 -->|"2 together"| n4',
    ]
    assert '    n0 -> n1 [label="rejected 2026-01-05 09:00"];' in dot(nodes, edges).splitlines()
