"""What bad input gets: a problem that says what is wrong, of a type that programs can rely on; never a 500."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer
from tests.problems import fields, problem

NOBODY = "0198c0de-0000-7000-8000-00000000dead"

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def task(api: httpx.Client) -> str:
    """The path of a task."""
    return f"/tasks/{api.post('/tasks', json={'title': 'Good'}).json()['id']}"


@pytest.fixture(scope="module")
def instance(api: httpx.Client) -> str:
    """The path of an instance."""
    made = api.post("/instances", json={"name": f"good {uuid4().hex}"})
    return f"/instances/{made.json()['id']}"


@pytest.fixture(autouse=True)
def unharmed(api: httpx.Client) -> Iterator[None]:
    """Whatever comes in, the server answers the next one."""
    yield
    assert api.get(httpx.URL(api.base_url).copy_with(path="/readyz")).status_code == 200


UNKNOWN = [
    *((method, f"/tasks/{NOBODY}", {"title": "x"}) for method in ("GET", "PUT", "PATCH", "DELETE")),
    *(("POST", f"/tasks/{NOBODY}/{action}", None) for action in ("route", "complete")),
    *(("GET", f"/tasks/{NOBODY}/{part}", None) for part in ("decisions", "delegations", "feedback", "similar")),
    ("POST", "/patterns/match", {"task_id": NOBODY}),
    ("PUT", f"/tasks/{NOBODY}/feedback", {"was_good_match": True}),
    *((method, f"/instances/{NOBODY}", {"name": "x"}) for method in ("GET", "PUT", "PATCH", "DELETE")),
    *(("GET", f"/instances/{NOBODY}/{part}", None) for part in ("children", "hierarchy", "tasks", "delegations")),
    *(("POST", f"/instances/{NOBODY}/{action}", None) for action in ("start", "stop", "pause", "resume")),
    *(("POST", f"/delegations/{NOBODY}/{answer}", None) for answer in ("accept", "reject", "complete")),
    *((method, f"/patterns/{NOBODY}", {"name": "x"}) for method in ("GET", "PATCH", "DELETE")),
]


@pytest.mark.parametrize(("method", "path", "body"), UNKNOWN, ids=lambda value: str(value).replace(NOBODY, "…"))
def test_an_unknown_id_is_not_found(api: httpx.Client, method: str, path: str, body: object) -> None:
    """A program couldn't tell what is gone from what it did wrong."""
    content = json.dumps(body).encode() if body and method in {"POST", "PUT", "PATCH"} else None
    assert NOBODY in problem(api.request(method, path, content=content, headers=JSON), 404)["detail"]


def test_delegating_an_unknown_task_is_not_found(api: httpx.Client, instance: str) -> None:
    """The target would be blamed for the missing task."""
    body = {"target_instance_id": instance.rsplit("/", maxsplit=1)[-1]}
    problem(api.post(f"/tasks/{NOBODY}/delegations", json=body), 404)


INVALID = [
    ("POST", "/tasks", {}, "title"),
    ("POST", "/tasks", {"title": ""}, "title"),
    ("POST", "/tasks", {"title": " \t"}, "title"),
    ("POST", "/tasks", {"title": 5}, "title"),
    ("POST", "/tasks", {"title": "x" * 501}, "title"),
    ("POST", "/tasks", {"title": "x" * 1_000_000}, "title"),
    ("POST", "/tasks", {"title": "nul \0"}, "title"),
    ("POST", "/tasks", {"title": "x", "description": "x" * 100_001}, "description"),
    ("POST", "/tasks", {"title": "x", "description": "nul \0"}, "description"),
    ("POST", "/tasks", {"title": "x", "status": "blocked"}, "status"),
    ("POST", "/tasks", {"title": "x", "priority": "huge"}, "priority"),
    ("POST", "/tasks", {"title": "x", "project": "x" * 201}, "project"),
    ("POST", "/tasks", {"title": "x", "source": "x" * 51}, "source"),
    ("POST", "/tasks", {"title": "x", "tags": {"a": False}}, "tags"),
    ("POST", "/tasks", {"title": "x", "tags": {"a\0": True}}, "tags"),
    ("POST", "/tasks", {"title": "x", "tags": {"a": "b\0"}}, "tags"),
    ("POST", "/tasks", {"title": "x", "tags": ["x" * 201]}, "tags"),
    ("POST", "/tasks", {"title": "x", "tags": [{}]}, "tags"),
    ("POST", "/tasks", {"title": "x", "tags": [str(number) for number in range(101)]}, "tags"),
    ("POST", "/tasks", {"title": "x", "instance_id": NOBODY}, "instance_id"),
    ("POST", "/tasks", {"title": "x", "instance_id": "x" * 37}, "instance_id"),
    ("POST", "/tasks", {"title": "x", "parent_task_id": NOBODY}, "parent_task_id"),
    ("POST", "/tasks", {"title": "x", "depends_on": [NOBODY]}, "depends_on"),
    ("POST", "/tasks", {"title": "x", "depends_on": ["a"] * 1001}, "depends_on"),
    ("POST", "/tasks", {"title": "x", "depends_on": [{}]}, "depends_on.0"),
    ("POST", "/tasks", {"title": "x", "no_such_field": 1}, "no_such_field"),
    ("PATCH", "{task}", {"title": None}, "title"),
    ("PATCH", "{task}", {"tags": None}, "tags"),
    ("PATCH", "{task}", {"version": 7}, "version"),
    ("PATCH", "{task}", {"parent_task_id": NOBODY}, "parent_task_id"),
    ("PATCH", "{task}", {"instance_id": NOBODY}, "instance_id"),
    ("PUT", "{task}", {"title": "x", "depends_on": [NOBODY]}, "depends_on"),
    ("POST", "{task}/route?by=" + NOBODY, None, "by"),
    ("POST", "{task}/route?dry_run=perhaps", None, "dry_run"),
    ("POST", "{task}/delegations", {"target_instance_id": NOBODY}, "target_instance_id"),
    ("PUT", "{task}/feedback", {"quality_score": 1.5}, "quality_score"),
    ("PUT", "{task}/feedback", {"complexity_rating": 10**40}, "complexity_rating"),
    ("PUT", "{task}/feedback", {"routing_feedback": "nul \0"}, "routing_feedback"),
    ("PUT", "{task}/feedback", {"should_have_routed_to": NOBODY}, "should_have_routed_to"),
    ("POST", "/instances", {"name": "x", "scope": "WORLD"}, "scope"),
    ("POST", "/instances", {"name": "x", "parent_id": NOBODY}, "parent_id"),
    ("POST", "/instances", {"name": "x", "config": {"a": {"b\0": 1}}}, "config"),
    ("POST", "/instances", {"name": "x", "config": json.loads("[" * 40 + "]" * 40)}, "config"),
    ("POST", "/instances", {"name": "x", "config": {"a": json.loads("[" * 40 + "]" * 40)}}, "config"),
    ("PATCH", "{instance}", {"parent_id": NOBODY}, "parent_id"),
    ("PATCH", "{instance}", {"status": None}, "status"),
    ("POST", "/patterns", {"name": "x", "pattern_type": "tag", "target_instance": "{instance}"}, "tag_criteria"),
    (
        "POST",
        "/patterns",
        {"name": "x", "pattern_type": "priority", "priority_criteria": "low", "target_instance": NOBODY},
        "target_instance",
    ),
    (
        "POST",
        "/patterns",
        {"name": "x", "pattern_type": "text", "text_criteria": {"any": ["x", "+++"]}, "target_instance": "{instance}"},
        "text_criteria.any.1",
    ),
    ("GET", "/tasks?limit=0", None, "limit"),
    ("GET", "/tasks?limit=" + "9" * 400, None, "limit"),
    ("GET", "/tasks?status=blocked", None, "status"),
    ("GET", "/tasks?tag=%00", None, "tag"),
    ("GET", "/tasks?instance_id=a%20b", None, "instance_id"),
    ("GET", "/search", None, "q"),
    ("GET", "/search?q=%00", None, "q"),
    ("GET", "/search?q=x&mode=psychic", None, "mode"),
    ("GET", "/search?q=", None, "q"),
    ("GET", "/search?q=" + "x" * 1001, None, "q"),
    ("GET", "/search?q=x&limit=0", None, "limit"),
    ("GET", "/search?q=x&status=lost", None, "status"),
    ("POST", "/tasks", {"title": "x", "on_duplicate": "ignore"}, "on_duplicate"),
    ("POST", "/tasks", {"title": "x", "duplicate_of": NOBODY}, "duplicate_of"),
    ("POST", "/patterns/match", {"title": ""}, "title"),
    ("POST", "/patterns/match", {}, "body"),
    ("POST", "/patterns/match", {"task_id": "x", "title": "x"}, "body"),
    ("POST", "/patterns/match", {"task_id": "x", "priority": "low"}, "body"),
    ("GET", "/tasks/%00", None, "task_id"),
    ("GET", "/tasks/" + "x" * 37, None, "task_id"),
]


@pytest.mark.parametrize(("method", "path", "body", "field"), INVALID, ids=lambda value: str(value)[:40])
def test_an_invalid_field_is_named(
    api: httpx.Client, task: str, instance: str, method: str, path: str, body: Any, field: str
) -> None:
    """A form couldn't show what to correct."""
    path = path.replace("{task}", task).replace("{instance}", instance)
    text = json.dumps(body).replace("{instance}", instance.rsplit("/", maxsplit=1)[-1])
    content = None if body is None else text.encode()
    told = problem(api.request(method, path, content=content, headers=JSON), 422)
    assert field in fields(told)
    assert len(told["detail"]) < 1000


def test_every_wrong_field_is_named_at_once(api: httpx.Client) -> None:
    """People would mend one field after the other."""
    told = problem(api.post("/tasks", json={"title": "", "priority": "huge", "no": 1}), 422)
    assert fields(told) == {"title", "priority", "no"}


def cursor(position: str) -> str:
    return urlsafe_b64encode(position.encode()).decode().rstrip("=")


LATER = "2020-01-01T00:00:00+00:00"
CURSORS = {
    "garbage": "garbage",
    "not base64": "?*",
    "one letter": "A",
    "no UTF-8": "_____w",
    "no json": cursor("{"),
    "no list": cursor("5"),
    "too short": cursor(f'["{LATER}"]'),
    "too long": cursor(f'["{LATER}", "x", "y"]'),
    "no time": cursor('["yesterday", "x"]'),
    "another type": cursor("[null, null]"),
    "before all time": cursor('["0001-01-01T00:00:00+14:00", "x"]'),
    "after all time": cursor('["9999-12-31T23:59:59-14:00", "x"]'),
    "NUL": cursor(f'["{LATER}", "\\u0000"]'),
    "NUL in a score's": cursor('["0.5", "\\u0000"]'),
    "very long": "A" * 60_000,
}


@pytest.mark.parametrize("bad", CURSORS.values(), ids=CURSORS)
def test_a_cursor_that_no_listing_gave_is_refused(api: httpx.Client, instance: str, bad: str) -> None:
    """A mangled link would look like a broken server."""
    for path in ("/tasks", "/tasks/triage", "/tasks/ready", "/instances", "/patterns", f"{instance}/delegations"):
        assert fields(problem(api.get(path, params={"cursor": bad}), 422)) == {"cursor"}
    assert fields(problem(api.get("/search", params={"q": "x", "cursor": bad}), 422)) == {"cursor"}


@pytest.mark.parametrize("asked", ["3", '"', '"1" "2"', "'1'", "", "²"])
def test_an_if_match_that_is_no_etag_is_refused(api: httpx.Client, task: str, asked: str) -> None:
    """A client that believes it is protected would overwrite what others wrote."""
    answer = api.patch(task, json={"title": "Other"}, headers=[(b"If-Match", asked.encode("latin-1"))])
    assert fields(problem(answer, 422)) == {"If-Match"}


@pytest.mark.parametrize("asked", ['"x"', '"01"', 'W/"1"', '"' + "9" * 50 + '"', '"998", "999"'])
def test_a_version_that_never_was_matches_nothing(api: httpx.Client, task: str, asked: str) -> None:
    """A client with a made-up or half-read version would overwrite what others wrote."""
    problem(api.patch(task, json={"title": "Other"}, headers={"If-Match": asked}), 412)


def test_a_stale_version_is_refused(api: httpx.Client, task: str) -> None:
    """Two people would overwrite each other."""
    told = problem(api.patch(task, json={"title": "Other"}, headers={"If-Match": '"999999999"'}), 412)
    assert "Read it again" in told["detail"]


@pytest.mark.parametrize("key", ["", "x" * 201, "ä", "tab\there"])
def test_an_idempotency_key_that_cant_be_kept_is_refused(api: httpx.Client, key: str) -> None:
    """A client that believes it may repeat itself would file everything twice."""
    answer = api.post("/tasks", json={"title": "x"}, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
    assert fields(problem(answer, 422)) == {"Idempotency-Key"}


def test_an_idempotency_key_for_something_else_is_refused(api: httpx.Client) -> None:
    """A client that mixes up its keys would believe that its second task was filed."""
    key = {"Idempotency-Key": uuid4().hex}
    assert api.post("/tasks", json={"title": "One"}, headers=key).status_code == 201
    told = problem(api.post("/tasks", json={"title": "Two"}, headers=key), 422)
    assert told["type"] == "urn:hopper:problem:idempotency-mismatch"


def test_a_circle_is_refused(api: httpx.Client, task: str, instance: str) -> None:
    """Tasks would wait for each other for ever."""
    own = task.rsplit("/", maxsplit=1)[-1]
    other = api.post("/tasks", json={"title": "x", "depends_on": [own], "parent_task_id": own}).json()["id"]
    for change in ({"depends_on": [other]}, {"parent_task_id": other}, {"depends_on": [own]}, {"parent_task_id": own}):
        assert problem(api.patch(task, json=change), 409)["type"] == "urn:hopper:problem:cycle"
    told = problem(api.patch(instance, json={"parent_id": instance.rsplit("/", maxsplit=1)[-1]}), 409)
    assert told["type"] == "urn:hopper:problem:cycle"


def test_an_instance_with_tasks_isnt_removed(api: httpx.Client) -> None:
    """Tasks would be left with nobody; whoever tries has to learn what to do with them."""
    holder = api.post("/instances", json={"name": "holder"}).json()["id"]
    api.post("/tasks", json={"title": "Held", "instance_id": holder})
    told = problem(api.delete(f"/instances/{holder}"), 409)
    for part in ("1 task", "elegate", "stop"):
        assert part in told["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("DELETE", "/tasks", 405), ("POST", "/search", 405), ("PUT", "/patterns", 405)],
)
def test_a_wrong_address_is_a_problem_too(api: httpx.Client, method: str, path: str, status: int) -> None:
    """A client would have to read two kinds of errors."""
    problem(api.request(method, path), status)


@pytest.mark.parametrize(
    "query",
    [
        *("%ED%A0%80", "((", "%27%22%5C", "a+-", "%3A*+%26+%7C+!", "%F0%9F%9A%80", "or", "x" * 1000, "%20", "the+of"),
        *("%22open", "%22%22", "-the", "*", "a*+-b*", "支払い", "платеж*", "الدفع", "or+or", "x+" * 500, "%27" * 300),
    ],
)
@pytest.mark.parametrize("mode", ["hybrid", "keyword", "semantic"])
def test_any_search_is_answered(api: httpx.Client, query: str, mode: str) -> None:
    """Whoever types a stray sign into the search would see an error, or wait."""
    assert api.get(f"/search?q={query}&mode={mode}").status_code == 200


def test_a_query_of_a_hundred_kilobytes_is_refused(api: httpx.Client) -> None:
    """A text that was pasted by mistake would occupy the server."""
    connection = HTTPConnection(api.base_url.host, api.base_url.port or 80, timeout=30)
    connection.request("GET", f"/api/v1/search?q={'word+' * 20_000}")
    assert 400 <= connection.getresponse().status < 500
    connection.close()
