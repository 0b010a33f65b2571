"""A pack that was pulled: taken as it is, or refused whole."""

from math import nan
from typing import Any

import pytest

from hopper.app.teaching import shared_patterns
from hopper.domain.errors import Invalid
from hopper.domain.pattern import Criteria, PatternSource

PACKED: dict[str, Any] = {
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


def test_each_pattern_says_where_it_came_from() -> None:
    """A decision that went by a stranger's rule couldn't be traced to it."""
    [pattern] = shared_patterns({"patterns": [PACKED]})
    assert (pattern.source, pattern.source_instance_id, pattern.id) == (PatternSource.NORTHBOUND, "server", "p-1")
    assert pattern.tag_criteria == Criteria(any=("cards",))
    assert not shared_patterns({"patterns": [{**PACKED, "target_scope": None}]}), "it is evidence for nobody"


@pytest.mark.parametrize(
    "wrong", [{"confidence": nan}, {"confidence": "9"}, {"tag_criteria": ["x"]}, {"pattern_type": "other"}]
)
def test_what_no_server_sends_is_refused(wrong: dict[str, Any]) -> None:
    """One bad number would make every later decision fail."""
    with pytest.raises(Invalid, match="another version"):
        shared_patterns({"patterns": [PACKED, {**PACKED, **wrong}]})
