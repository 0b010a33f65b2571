"""Sources push north and the server hands south what they have in common, over real HTTP."""

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer
from tests.problems import fields, problem
from tests.sync import STATS, a_push, a_rule, a_summary, registered

NOBODY = "hps_0198c0de-0000-7000-8000-00000000dead_" + "0" * 64


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def source() -> str:
    return f"laptop-{uuid4().hex[:20]}"


@pytest.fixture
def as_source(api: httpx.Client, source: str) -> Iterator[dict[str, str]]:
    """The headers of a source, which is forgotten at the end: other tests count what there is."""
    yield registered(api, source)
    api.delete(f"/sync/sources/{source}")


def record(api: httpx.Client, source: str) -> dict[str, Any]:
    [found] = [one for one in api.get("/sync/sources").json() if one["source_instance_id"] == source]
    return dict(found)


def northbound(api: httpx.Client) -> list[dict[str, Any]]:
    """The patterns from other Hoppers that are shown."""
    return list(api.get("/patterns", params={"source": "northbound", "limit": 200}).json()["items"])


def test_a_push_is_merged_and_its_replay_changes_nothing(
    api: httpx.Client, source: str, as_source: dict[str, str]
) -> None:
    """A laptop that lost the answer would count twice."""
    body = a_push(source, patterns=[a_rule(), a_rule("cards")], episode_summaries=[a_summary(), a_summary("e-2")])
    first = api.post("/sync/northbound", json=body, headers=as_source)
    assert first.json() == {
        "status": "synced",
        "patterns_merged": 2,
        "patterns_new": 2,
        "patterns_changed": 0,
        "patterns_unchanged": 0,
        "episodes_new": 2,
        "episodes_unchanged": 0,
        "feedback_changed": True,
    }
    before = record(api, source)
    again = api.post("/sync/northbound", json=body, headers=as_source).json()
    assert (again["patterns_unchanged"], again["episodes_unchanged"], again["feedback_changed"]) == (2, 2, False)
    assert (again["patterns_new"], again["patterns_changed"], again["episodes_new"]) == (0, 0, 0)
    after = record(api, source)
    assert {**after, "last_synced_at": None} == {**before, "last_synced_at": None}
    assert (after["patterns"], after["episodes"], after["total_feedback"]) == (2, 2, 4)


def test_a_payload_of_just_the_seeds_fields_is_taken(api: httpx.Client, source: str, as_source: dict[str, str]) -> None:
    """Whatever was written to the architecture alone couldn't sync."""
    body = {
        "source_instance_id": source,
        "source_instance_name": "plain",
        "patterns": [
            {
                "name": "plain",
                "pattern_type": "text",
                "tag_criteria": {},
                "text_criteria": {"any": ["plain words"]},
                "confidence": 0.75,
                "usage_count": 4,
                "success_count": 3,
            }
        ],
        "episode_summaries": [
            {
                "tags": ["a"],
                "chosen_instance_scope": "PROJECT",
                "confidence": 0.5,
                "outcome_success": False,
                "strategy": "similar_episodes",
            }
        ]
        * 2,
        "feedback_stats": {**STATS, "avg_complexity": 0.0},
    }
    answer = api.post("/sync/northbound", json=body, headers=as_source)
    assert answer.status_code == 200, answer.text
    assert answer.json()["episodes_new"] == 2
    assert api.post("/sync/northbound", json=body, headers=as_source).json()["episodes_new"] == 0
    others = [f"{source[:-1]}{at}" for at in "xy"]
    for other in others:
        assert not northbound(api)
        body["source_instance_id"] = other
        api.post("/sync/northbound", json=body, headers=registered(api, other)).raise_for_status()
    [pattern] = northbound(api)
    assert pattern["name"] == "plain words"
    assert (pattern["usage_count"], pattern["success_count"], pattern["failure_count"]) == (12, 9, 3)
    assert pattern["target_instance"] is None
    for other in others:
        api.delete(f"/sync/sources/{other}")


@pytest.mark.parametrize("token", [None, "Bearer nonsense", f"Bearer {NOBODY}", "Basic YTpi", "Bearer hps_é"])
def test_an_unknown_source_is_refused(api: httpx.Client, source: str, token: str | None) -> None:
    """Anybody could make every Hopper route as they like."""
    headers = [(b"Authorization", token.encode())] if token else []
    answer = api.post("/sync/northbound", json=a_push(source), headers=headers)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_unknown_source_is_refused_before_its_body_is_read(server: RunningServer) -> None:
    """Anybody could have a server read and take apart sixteen megabytes at a time."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        head = f"POST /api/v1/sync/northbound HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_what_an_unknown_source_sends_isnt_judged(api: httpx.Client, body: bytes) -> None:
    """The answer would tell of fields what only sources need to know, and hide that the token is wrong."""
    problem(api.post("/sync/northbound", content=body, headers={"Content-Type": "application/json"}), 401)


def test_a_token_with_another_secret_is_refused(api: httpx.Client, source: str, as_source: dict[str, str]) -> None:
    """Whoever knew a source's key id could push in its name."""
    known = as_source["Authorization"].rpartition("_")[0]
    problem(api.post("/sync/northbound", json=a_push(source), headers={"Authorization": f"{known}_{'0' * 64}"}), 401)


def test_a_revoked_source_is_refused_until_it_has_a_new_token(
    api: httpx.Client, source: str, as_source: dict[str, str]
) -> None:
    """A laptop that was stolen would go on teaching."""
    assert api.post(f"/sync/sources/{source}/revoke").json()["is_revoked"] is True
    problem(api.post("/sync/northbound", json=a_push(source), headers=as_source), 403)
    fresh = registered(api, source)
    problem(api.post("/sync/northbound", json=a_push(source), headers=as_source), 401)
    assert api.post("/sync/northbound", json=a_push(source), headers=fresh).status_code == 200
    problem(api.post("/sync/sources", json={"source_instance_id": source, "name": "again"}), 409)


def test_a_token_cant_speak_for_another_source(api: httpx.Client, source: str, as_source: dict[str, str]) -> None:
    """One source could pass for as many as it takes."""
    problem(api.post("/sync/northbound", json=a_push("another"), headers=as_source), 403)


def wrong(**fields: Any) -> dict[str, Any]:
    return {"patterns": [a_rule(), a_rule("cards", **fields)]}


INVALID = [
    (wrong(usage_count=-1), "patterns.1.usage_count"),
    (wrong(usage_count="5"), "patterns.1.usage_count"),
    (wrong(usage_count=True), "patterns.1.usage_count"),
    (wrong(usage_count=1.5), "patterns.1.usage_count"),
    (wrong(usage_count=10**12), "patterns.1.usage_count"),
    (wrong(success_count=11), "patterns.1"),
    (wrong(confidence=1.5), "patterns.1.confidence"),
    (wrong(confidence="0.5"), "patterns.1.confidence"),
    (wrong(confidence=None), "patterns.1.confidence"),
    (wrong(name="x" * 201), "patterns.1.name"),
    (wrong(name="x" * 1_000_000), "patterns.1.name"),
    (wrong(name="nul \0"), "patterns.1.name"),
    (wrong(target_name="\ufdfa" * 200), "patterns.1.target_name"),
    (wrong(target_scope="GALAXY"), "patterns.1.target_scope"),
    (wrong(pattern_type="regex"), "patterns.1.pattern_type"),
    (wrong(tag_criteria={}), "patterns.1.tag_criteria"),
    (wrong(tag_criteria={"any": "cards"}), "patterns.1.tag_criteria.any"),
    (wrong(tag_criteria={"any": ["x"] * 101}), "patterns.1.tag_criteria.any"),
    (wrong(text_criteria={"any": ["x"]}), "patterns.1.text_criteria"),
    (wrong(key="0" * 64), "patterns.1.key"),
    (wrong(content="what the task says"), "patterns.1.content"),
    ({"patterns": {}}, "patterns"),
    ({"patterns": [[]]}, "patterns.0"),
    ({"episode_summaries": [a_summary(chosen_instance_scope="me")]}, "episode_summaries.0.chosen_instance_scope"),
    ({"episode_summaries": [a_summary(confidence=-0.1)]}, "episode_summaries.0.confidence"),
    ({"episode_summaries": [a_summary(outcome_success="yes")]}, "episode_summaries.0.outcome_success"),
    ({"episode_summaries": [a_summary(strategy="x" * 51)]}, "episode_summaries.0.strategy"),
    ({"episode_summaries": [a_summary(tags=["x" * 201])]}, "episode_summaries.0.tags.0"),
    ({"episode_summaries": [a_summary(key="x" * 129)]}, "episode_summaries.0.key"),
    ({"feedback_stats": {**STATS, "total_feedback": -1}}, "feedback_stats.total_feedback"),
    ({"feedback_stats": {**STATS, "good_matches": 9}}, "feedback_stats"),
    ({"feedback_stats": {**STATS, "avg_quality_score": 2}}, "feedback_stats.avg_quality_score"),
    ({"sequence": 0}, "sequence"),
    ({"sequence": "1"}, "sequence"),
    ({"protocol_version": 2}, "protocol_version"),
    ({"source_instance_id": "x" * 37}, "source_instance_id"),
    ({"source_instance_name": ""}, "source_instance_name"),
    ({"tasks": ["secret"]}, "tasks"),
]


@pytest.mark.parametrize(("body", "field"), INVALID, ids=lambda value: str(value)[:70])
def test_what_cant_be_merged_is_named_and_nothing_is(
    api: httpx.Client, source: str, as_source: dict[str, str], body: dict[str, Any], field: str
) -> None:
    """Half a push would be there, and nobody could tell which half."""
    answer = api.post("/sync/northbound", json=a_push(source, **body), headers=as_source)
    assert fields(problem(answer, 422)) == {field}
    found = record(api, source)
    assert (found["patterns"], found["episodes"], found["total_feedback"]) == (0, 0, 0)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(api: httpx.Client, source: str, as_source: dict[str, str], number: str) -> None:
    """One NaN would make every mean that it is part of one, too."""
    text = httpx.Request("POST", "http://x", json=a_push(source)).content.decode()
    text = text.replace('"confidence":0.8', f'"confidence":{number}')
    answer = api.post("/sync/northbound", content=text, headers={**as_source, "Content-Type": "application/json"})
    problem(answer, 422)
    assert record(api, source)["patterns"] == 0


@pytest.mark.parametrize("count", ["usage_count", "success_count", "failure_count"])
def test_counts_that_decrease_are_refused(
    api: httpx.Client, source: str, as_source: dict[str, str], count: str
) -> None:
    """A source whose memory was lost would be taken for one that has nothing new, for ever."""
    api.post("/sync/northbound", json=a_push(source, sequence=1), headers=as_source).raise_for_status()
    less = a_rule(usage_count=20) | {count: 1} if count != "usage_count" else a_rule(usage_count=9)
    body = a_push(source, sequence=2, patterns=[a_rule("new"), less], episode_summaries=[a_summary("e-2")])
    answer = api.post("/sync/northbound", json=body, headers=as_source)
    assert fields(problem(answer, 422)) == {f"patterns.1.{count}"}
    assert (record(api, source)["patterns"], record(api, source)["episodes"]) == (1, 1)


def test_a_push_that_is_too_large_is_refused(api: httpx.Client, source: str, as_source: dict[str, str]) -> None:
    """One source could fill the server's memory."""
    headers = {**as_source, "Content-Type": "application/json"}
    answer = api.post("/sync/northbound", content=b" " * (16 * 1024 * 1024 + 1), headers=headers)
    problem(answer, 413)


def test_a_pattern_goes_south_with_three_sources_and_its_provenance(api: httpx.Client) -> None:
    """What only one person's machine knows would be told to everybody."""
    tag = f"shared-{uuid4().hex[:8]}"
    sources = [f"s-{uuid4().hex[:12]}" for _ in range(4)]
    for at, source in enumerate(sources):
        shared = [p["sources"] for p in api.get("/sync/southbound").json()["patterns"] if p["name"].startswith(tag)]
        assert shared == ([3] if at == 3 else [])
        headers = registered(api, source)
        spelled = {"any": [tag]} if at else {"all": [tag.upper()]}
        body = a_push(source, patterns=[a_rule(name=f"{source}'s", tag_criteria=spelled)])
        api.post("/sync/northbound", json=body, headers=headers).raise_for_status()
    pack = api.get("/sync/southbound").json()
    [pattern] = [p for p in pack["patterns"] if p["name"].startswith(tag)]
    assert (pattern["sources"], pattern["usage_count"], pattern["success_count"]) == (4, 40, 32)
    assert (pattern["source"], pattern["source_instance_id"]) == ("northbound", pack["source_instance_id"])
    assert api.get(f"/patterns/{pattern['derived_from']}").json()["learned_key"] == pattern["key"]
    assert pack["feedback_stats"]["total_feedback"] == 16
    assert not any(source in api.get("/sync/southbound").text for source in sources)

    api.patch(f"/sync/sources/{sources[0]}", json={"is_muted": True}).raise_for_status()
    assert api.get(f"/patterns/{pattern['derived_from']}").json()["usage_count"] == 30
    api.patch(f"/sync/sources/{sources[0]}", json={"is_muted": False, "contribution_cap": 5}).raise_for_status()
    assert api.get(f"/patterns/{pattern['derived_from']}").json()["success_count"] == 24 + 4
    for source in sources[:2]:
        api.patch(f"/sync/sources/{source}", json={"is_muted": True}).raise_for_status()
    assert tag not in api.get("/sync/southbound").text

    for source in sources:
        assert api.delete(f"/sync/sources/{source}").status_code == 204
    problem(api.get(f"/patterns/{pattern['derived_from']}"), 404)
    problem(api.delete(f"/sync/sources/{sources[0]}"), 404)


def test_what_fewer_sources_share_is_shown_to_nobody(api: httpx.Client, source: str, as_source: dict[str, str]) -> None:
    """Whoever reaches the port could read what one person's tasks are about, and without a token."""
    tag = f"alone-{uuid4().hex[:8]}"
    body = a_push(source, patterns=[a_rule(tag), a_rule(target_name=tag)])
    assert api.post("/sync/northbound", json=body, headers=as_source).json()["patterns_new"] == 2
    shown = [
        api.get("/patterns", params={"limit": 200}),
        api.post("/patterns/match", json={"title": tag, "tags": {tag: True}}),
        api.get("/graph/tags/hygiene"),
        api.get("/graph/tags/co-occurrence"),
        api.get("/sync/southbound"),
        api.get("/sync/sources"),
    ]
    assert not [answer.url for answer in shown if tag in answer.text or answer.status_code != 200]
