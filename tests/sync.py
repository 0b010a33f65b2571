"""Payloads for tests: valid, small, and different only in what a test names."""

from typing import Any

import httpx

from hopper.app.northbound import add_source
from hopper.ports import Ports
from hopper.sync.sources import SyncSource


def a_rule(tag: str = "payments", **fields: Any) -> dict[str, Any]:
    """A tag pattern that went well 8 of 10 times."""
    return {
        "name": f"{tag} of ours",
        "pattern_type": "tag",
        "tag_criteria": {"any": [tag]},
        "text_criteria": {},
        "target_scope": "PROJECT",
        "confidence": 0.8,
        "usage_count": 10,
        "success_count": 8,
        "failure_count": 2,
        **fields,
    }


def a_summary(key: str | None = "e-1", **fields: Any) -> dict[str, Any]:
    return {
        **({"key": key} if key else {}),
        "tags": ["payments"],
        "chosen_instance_scope": "PROJECT",
        "confidence": 0.7,
        "outcome_success": True,
        "strategy": "learned_pattern",
        **fields,
    }


STATS = {"total_feedback": 4, "good_matches": 3, "bad_matches": 1, "avg_quality_score": 0.5, "avg_complexity": 2.0}


def a_push(source: str, **fields: Any) -> dict[str, Any]:
    return {
        "source_instance_id": source,
        "source_instance_name": "a laptop",
        "patterns": [a_rule()],
        "episode_summaries": [a_summary()],
        "feedback_stats": STATS,
        **fields,
    }


def registered(api: httpx.Client, source: str) -> dict[str, str]:
    """The headers of a new source."""
    made = api.post("/sync/sources", json={"source_instance_id": source, "name": source}).raise_for_status()
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def source_of(source: str, ports: Ports) -> SyncSource:
    """The source of this id, registered if it isn't yet."""
    async with ports.reading() as uow:
        found = await uow.sync.find(source)
    return found or await add_source(source, source, ports=ports)
