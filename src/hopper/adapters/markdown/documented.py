"""What the public hopper's documents show in bodies: criteria under headings, and decisions as lists.

It is read where the front matter doesn't say it. What Hopper changes it writes to the front matter.
"""

import re
from collections.abc import Mapping
from typing import Any

_SECTION = re.compile(r"^### (?P<heading>.+?)[ \t\r]*$(?P<text>.*?)(?=^#{1,3} |\Z)", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"^[-*] (?P<item>.+?)[ \t\r]*$", re.MULTILINE)
_DECISION = re.compile(r"(?P<time>\d\d:\d\d) - (?P<task>\S+)")
_SAID = re.compile(r"^- \*\*(?P<name>\w+):\*\*[ \t]*(?P<value>.*?)[ \t\r]*$", re.MULTILINE)
_OUTCOME = {"success": "true", "failure": "false", "failed": "false"}


def criteria_in(body: str) -> dict[str, dict[str, list[str]]]:
    """`tag_criteria` and `text_criteria` as a front matter has them."""
    lists = {found["heading"].casefold(): _ITEM.findall(found["text"]) for found in _SECTION.finditer(body)}
    return {
        "tag_criteria": {"required": lists.get("required tags", []), "optional": lists.get("optional tags", [])},
        "text_criteria": {"keywords": lists.get("keywords", [])},
    }


def episodes_in(body: str, day: str) -> list[Mapping[str, Any]]:
    """`episodes` as a front matter has them; their ids are made of when and what, since none stand there."""
    episodes: list[Mapping[str, Any]] = []
    for section in _SECTION.finditer(body):
        decision = _DECISION.fullmatch(section["heading"])
        if decision is None:
            continue
        said = {found["name"].casefold(): found["value"] for found in _SAID.finditer(section["text"])}
        episodes.append(
            {
                "id": f"{day}-{decision['time'].replace(':', '')}-{decision['task']}"[:36],
                "task_id": decision["task"],
                "chosen_instance": said.get("chosen"),
                "confidence": said.get("confidence"),
                "strategy": said.get("strategy"),
                "outcome_success": _OUTCOME.get(said.get("outcome", "").casefold()),
                "outcome_duration": said.get("duration"),
                "routed_at": f"{day}T{decision['time']}:00+00:00",
            }
        )
    return episodes
