"""A pack that was pulled: taken as it is, or refused whole."""

import json
from dataclasses import asdict
from math import inf, nan
from typing import Any

import pytest

from hopper.app.teaching import shared_patterns
from hopper.domain.errors import Invalid
from hopper.domain.pattern import Criteria, PatternSource
from hopper.sync.pack import HEEDED, PatternPack

PATTERN: dict[str, Any] = {
    "key": "k",
    "name": "cards",
    "pattern_type": "tag",
    "tag_criteria": {"any": ["cards"], "all": [], "none": []},
    "text_criteria": None,
    "priority_criteria": None,
    "target_scope": "PROJECT",
    "target_name": None,
    "confidence": 0.9,
    "usage_count": 9,
    "success_count": 8,
    "failure_count": 1,
    "sources": 3,
    "source": "northbound",
    "source_instance_id": "server",
    "derived_from": "p-1",
}


def a_pack(*patterns: Any, **fields: Any) -> dict[str, Any]:
    return {
        "protocol_version": 1,
        "source_instance_id": "server",
        "min_sources": 3,
        "patterns": list(patterns),
        "feedback_stats": None,
        **fields,
    }


def test_each_pattern_says_where_it_came_from() -> None:
    """A decision that went by a stranger's rule couldn't be traced to it."""
    [pattern] = shared_patterns(PatternPack.read(a_pack(PATTERN)))
    assert (pattern.source, pattern.source_instance_id, pattern.id) == (PatternSource.NORTHBOUND, "server", "p-1")
    assert pattern.tag_criteria == Criteria(any=("cards",))
    nobody = PatternPack.read(a_pack({**PATTERN, "target_scope": None}))
    assert not shared_patterns(nobody), "it is evidence for nobody"


def test_what_was_kept_is_read_as_what_was_pulled() -> None:
    """Each decision would find another pack than the one that was pulled, or none."""
    pack = PatternPack.read(a_pack(PATTERN))
    assert PatternPack.read(json.loads(json.dumps(asdict(pack)))) == pack


def test_the_best_supported_patterns_are_heeded() -> None:
    """Each task would be held against thousands of patterns, and wait for that."""
    pack = PatternPack.read(a_pack(*[{**PATTERN, "key": str(number)} for number in range(HEEDED + 1)]))
    assert [one.key for one in pack.patterns] == [str(number) for number in range(HEEDED)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": nan},
        {"confidence": "9"},
        {"confidence": True},
        {"tag_criteria": ["x"]},
        {"tag_criteria": {"any": [1], "all": [], "none": []}},
        {"tag_criteria": {"any": "cards", "all": [], "none": []}},
        {"tag_criteria": {"any": ["x"] * 201, "all": [], "none": []}},
        {"tag_criteria": {"any": ["x" * 201], "all": [], "none": []}},
        {"tag_criteria": {"any": ["\ud800"], "all": [], "none": []}},
        {"tag_criteria": {"any": ["x"]}},
        {"tag_criteria": None},
        {"pattern_type": "other"},
        {"pattern_type": ["tag"]},
        {"priority_criteria": "soon"},
        {"target_scope": {}},
        {"target_name": ["x"]},
        {"name": {"a": 1}},
        {"name": "x" * 201},
        {"derived_from": {"a": 1}},
        {"derived_from": "a" * 37},
        {"derived_from": "a\x00b\x1b[31m"},
        {"source_instance_id": None},
        {"key": 5},
        {"usage_count": "9"},
        {"usage_count": -1},
        {"failure_count": inf},
        {"success_count": 10**400},
        {"sources": 2},
    ],
)
def test_what_no_server_sends_is_refused(wrong: dict[str, Any]) -> None:
    """One bad pattern would make every later decision fail."""
    with pytest.raises(Invalid, match="hopper sync pull"):
        PatternPack.read(a_pack(PATTERN, {**PATTERN, **wrong}))


@pytest.mark.parametrize(
    "pack",
    [
        [],
        None,
        "x",
        {},
        a_pack(5),
        a_pack([]),
        a_pack(patterns={}),
        a_pack(min_sources=0),
        a_pack(min_sources="3"),
        a_pack(protocol_version=2),
        a_pack(source_instance_id=["server"]),
        a_pack(*[PATTERN] * 5_001),
    ],
)
def test_what_is_no_pack_is_refused(pack: Any) -> None:
    """A person would see a traceback, or have the disk filled."""
    with pytest.raises(Invalid, match="hopper sync pull"):
        PatternPack.read(pack)
