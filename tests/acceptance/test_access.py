"""Who may do what: every role on every route, inside and outside of what its key is bound to."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer, fresh_database, serving
from tests.problems import fields, problem

from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.access import ALLOWED, SERVER_WIDE, Permission, Role
from hopper.domain.moving import task_id_of
from hopper.entrypoints.http.app import create_app
from hopper.entrypoints.http.inside import REFERENCES
from hopper.entrypoints.http.permissions import API, NEEDED, permission_of

HIDDEN = "wisteria"
"""A word that only what is outside has, in every place that holds words."""

RULE = {"pattern_type": "tag", "tag_criteria": {"any": ["cards"]}}
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}

PATHS: dict[str, dict[str, Any]] = create_app(load_settings(), lambda: open_hopper(load_settings(), "")).openapi()[
    "paths"
]
OPERATIONS = [(method.upper(), path) for path, methods in PATHS.items() for method in methods]
FREE = {"/healthz", "/readyz", f"{API}/sync/northbound", f"{API}/sync/source"}


@dataclass
class World:
    """A tree with a task of each kind of history inside `acme`, and the like outside of it, joined in every way."""

    api: httpx.Client
    inside: dict[str, str] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    tag: str = field(default_factory=lambda: f"cards{uuid4().hex[:8]}")
    """Of this world alone, of which its rules are."""

    def made(self, path: str, **body: Any) -> str:
        answer = self.api.post(path, json=body).raise_for_status().json()
        return str(answer["id"])

    def build(self) -> "World":
        acme = self.made("/instances", name="acme", config={"capacity": 5})
        team = self.made("/instances", name="team", parent_id=acme)
        other = self.made("/instances", name=f"{HIDDEN} group")
        desk = self.made("/instances", name=f"{HIDDEN} desk", parent_id=other)
        far = self.made(
            "/tasks", title=f"Card {HIDDEN} is declined", instance_id=desk, tags={HIDDEN: True, self.tag: True}
        )
        near = self.made(
            "/tasks",
            title="Card is declined",
            tags={self.tag: True, "till": True},
            parent_task_id=far,
            duplicate_of=far,
            depends_on=[far],
        )
        self.api.patch(f"/tasks/{far}", json={"depends_on": []}).raise_for_status()
        waits = self.made("/tasks", title=f"Waits for the {HIDDEN}", instance_id=desk, depends_on=[near])
        lost = self.made(f"/tasks/{near}/delegations", target_instance_id=desk)
        self.api.post(f"/delegations/{lost}/reject").raise_for_status()
        held = self.made(f"/tasks/{near}/delegations", target_instance_id=team, source_instance_id=other)
        theirs = self.made(f"/tasks/{far}/delegations", target_instance_id=other)
        for task, to in ((near, team), (far, other)):
            said = {"was_good_match": True, "routing_feedback": HIDDEN if task == far else "good", "source": "api"}
            self.api.put(f"/tasks/{task}/feedback", json={**said, "should_have_routed_to": to}).raise_for_status()
        rule = self.made("/patterns", name="cards", target_instance=team, confidence=0.99, **self.rule)
        hidden_rule = self.made("/patterns", name=f"{HIDDEN} cards", target_instance=desk, confidence=0.8, **self.rule)
        reader = {"title": "Card reader is broken", "tags": {self.tag: True, "till": True}, "route": True}
        decided = self.api.post("/tasks", json=reader).raise_for_status().json()
        assert desk in json.dumps(decided["decision"]), "the decision should weigh somebody outside, too"
        sibling = decided["id"]
        self.inside |= {
            "task_id": near, "instance_id": team, "delegation_id": held, "pattern_id": rule, "acme": acme,
            "sibling": sibling,
        }  # fmt: skip
        self.outside |= {
            "task_id": far, "instance_id": desk, "delegation_id": theirs, "pattern_id": hidden_rule, "other": other,
            "waits": waits, "lost": lost,
        }  # fmt: skip
        return self

    @property
    def rule(self) -> dict[str, Any]:
        return {"pattern_type": "tag", "tag_criteria": {"any": [self.tag]}}

    def key(self, role: Role, **more: Any) -> dict[str, str]:
        body = {"name": f"a {role}", "role": role, "instance_id": self.inside["acme"], **more}
        made = self.api.post("/keys", json=body).raise_for_status().json()
        self.inside.setdefault("key_id", made["id"])
        return {"Authorization": f"Bearer {made['token']}"}

    def source(self) -> dict[str, str]:
        id = uuid4().hex
        self.outside["source_instance_id"] = id
        made = self.api.post("/sync/sources", json={"source_instance_id": id, "name": HIDDEN}).raise_for_status()
        return {"Authorization": f"Bearer {made.json()['token']}"}


@pytest.fixture(scope="module")
async def own(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """A server of its own: what so many worlds teach would keep others' waiting for a text model."""
    async with fresh_database(postgres_url) as url:
        with serving(url, tmp_path_factory.mktemp("access")) as running:
            yield running


@pytest.fixture(scope="module")
def api(own: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{own.url}/api/v1", headers=KEYED, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def world(api: httpx.Client) -> World:
    return World(api).build()


def bodies(named: dict[str, str]) -> dict[str, Any]:
    """What is sent to each operation that takes a body."""
    instance, task = named["instance_id"], named["task_id"]
    rule = {"name": "new rule", "target_instance": instance, **RULE}
    return {
        "POST /tasks": {"title": "New", "instance_id": instance, "depends_on": [task], "parent_task_id": task},
        "PATCH /tasks/{task_id}": {"title": "Changed", "duplicate_of": None},
        "PUT /tasks/{task_id}": {"title": "Replaced", "instance_id": instance},
        "POST /tasks/{task_id}/complete": {},
        "POST /tasks/{task_id}/delegations": {"target_instance_id": instance},
        "POST /tasks/{task_id}/heartbeat": {"worker": "w", "lease_seconds": 60},
        "POST /tasks/{task_id}/release": {"worker": "w"},
        "PUT /tasks/{task_id}/feedback": {"was_good_match": True, "should_have_routed_to": instance},
        "POST /tasks/claim": {"instance_id": instance, "worker": "w"},
        "POST /tasks/bulk": b'{"title": "A line"}\n',
        "POST /tasks/import": {"source": "elsewhere", "records": [{"external_id": "1", "title": "One"}]},
        "POST /instances": {"name": "new", "parent_id": instance},
        "PATCH /instances/{instance_id}": {"name": "changed"},
        "PUT /instances/{instance_id}": {"name": "replaced"},
        "POST /patterns": rule,
        "PATCH /patterns/{pattern_id}": {"name": "changed"},
        "PUT /patterns/{pattern_id}": rule,
        "POST /patterns/match": {"task_id": task},
        "POST /keys": {"name": "new", "role": "agent", "instance_id": instance},
        "POST /learning/backtest": {"patterns": [rule]},
        "POST /sync/sources": {"source_instance_id": uuid4().hex, "name": "new"},
        "PATCH /sync/sources/{source_instance_id}": {"is_muted": False},
        "POST /sync/northbound": {},
    }


QUERIES = {"GET /search": {"q": "card"}, "POST /embeddings/backfill": {}}


REFUSED = {
    "GET /tasks/{task_id}/lease",
    "POST /tasks/{task_id}/heartbeat",
    "POST /tasks/{task_id}/release",
    "POST /delegations/{delegation_id}/complete",
    "DELETE /instances/{instance_id}",
    "POST /keys/{key_id}/revoke",
    "DELETE /sync/sources/{source_instance_id}",
}
"""What the world that is made here gives no key of its own a reason to do: nobody claimed, all is held, and so on."""


def ask(api: httpx.Client, method: str, path: str, named: dict[str, str], as_key: dict[str, str]) -> httpx.Response:
    """One request with what it needs, about the entities that are named."""
    route = f"{method} {path.removeprefix(API)}"
    body = bodies(named).get(route)
    for name, id in named.items():
        path = path.replace(f"{{{name}}}", id)
    path = path.replace("{model}", "no-such-model").replace("{key_id}", "none").replace("{source_instance_id}", "none")
    raw = {"content": body, "headers": as_key | LINES} if isinstance(body, bytes) else None
    sent: dict[str, Any] = raw or {"json": body, "headers": as_key} if body is not None else {"headers": as_key}
    url = httpx.URL(str(api.base_url).removesuffix("/api/v1/") + path)
    return api.request(method, url, params=QUERIES.get(route, {}), **sent)


def tells_of(answer: httpx.Response, world: World, but: frozenset[str] = frozenset()) -> list[str]:
    """What an answer says of what is outside."""
    names = [HIDDEN, *(id for id in world.outside.values() if id not in but)]
    return [name for name in names if name in answer.text + str(answer.headers)]


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{m} {p}" for m, p in OPERATIONS])
def test_every_role_may_do_just_what_is_its(world: World, method: str, path: str) -> None:
    """A key for a worker could remove a team's tasks, or one team's key read another team's."""
    needed = permission_of(method, path)
    assert (needed is None) == (path in FREE)
    if needed is None:
        return
    problem(ask(world.api, method, path, world.inside, {"Authorization": ""}), 401)
    problem(ask(world.api, method, path, world.inside, {"Authorization": "Bearer hpk_0000_1111"}), 401)
    source = world.source()
    inside = dict(world.inside)
    if path.endswith(("/route", "/complete")):  # the other one waits, and is held
        inside["task_id"] = world.made("/tasks", title="Card to be done", instance_id=inside["acme"])
    is_own_affair = (method, path) == ("DELETE", f"{API}/sync/sources/{{source_instance_id}}")
    worked = False
    for role in (Role.READ_ONLY, Role.AGENT, Role.MEMBER, Role.ADMIN):
        as_key = world.key(role)
        may = needed in ALLOWED[role] - SERVER_WIDE and not is_own_affair
        there = ask(world.api, method, path, inside, as_key)
        assert (there.status_code not in {401, 403}) == may, (role, there.status_code, there.text[:300])
        assert not tells_of(there, world), (role, there.text[:2000])
        worked = worked or there.is_success
        elsewhere = ask(world.api, method, path, world.outside, as_key)
        assert not tells_of(elsewhere, world, frozenset(world.outside.values())), (role, elsewhere.text[:2000])
        if not may:
            problem(elsewhere, 403)
        elif any(f"{{{name}}}" in path for name in REFERENCES):
            problem(elsewhere, 404)
        elif f"{method} {path.removeprefix(API)}" in bodies(world.outside) and not path.endswith(("/bulk", "/import")):
            problem(elsewhere, 422)
    assert worked or needed in SERVER_WIDE or f"{method} {path.removeprefix(API)}" in REFUSED, "nobody was ever let in"
    as_source = ask(world.api, method, path, world.inside, source)
    assert (as_source.status_code not in {401, 403}) == (needed is Permission.SYNC and method == "GET")
    unbound = ask(world.api, method, path, world.inside, KEYED)
    assert unbound.status_code not in {401, 403}


def test_every_operation_with_a_body_is_tried() -> None:
    """A new route would be walked with a request that is refused for another reason."""
    with_body = {
        f"{method.upper()} {path.removeprefix(API)}"
        for path, methods in PATHS.items()
        for method, operation in methods.items()
        if "requestBody" in operation
    }
    assert with_body == set(bodies({"instance_id": "i", "task_id": "t"}))


def test_no_permission_is_said_of_a_route_that_isnt_there() -> None:
    """A reader of the table would take for granted what no server does."""
    assert {f"{method} {path.removeprefix(API)}" for method, path in OPERATIONS} == set(NEEDED)


def test_every_field_that_names_something_is_known() -> None:
    """A field of a new request could name what is outside."""
    schemas = create_app(load_settings(), lambda: open_hopper(load_settings(), "")).openapi()["components"]["schemas"]
    identifier = "^[A-Za-z0-9._-]{1,36}$"
    sent = {name for name in schemas if name.startswith(("New", "Edit", "Task", "Import", "Heart", "Rel", "Comp"))}
    named = {
        field_name
        for schema in sent
        for field_name, described in schemas[schema].get("properties", {}).items()
        if identifier in json.dumps(described)
    }
    assert named - REFERENCES.keys() <= {"id", "source_instance_id", "pattern_ids"}


def test_what_a_bound_key_reads_is_what_is_inside(world: World) -> None:
    """Counts, searches and graphs would tell one team how much another has to do, and what it is called."""
    as_member = world.key(Role.MEMBER)
    inside, api = world.inside, world.api

    def got(path: str, **query: Any) -> Any:
        answer = api.get(path, params=query, headers=as_member).raise_for_status()
        assert not tells_of(answer, world)
        return answer.json()

    ours = {inside["task_id"], inside["sibling"]}
    while any(kind["waiting"] for kind in api.get("/embeddings/status").json()["queue"]):
        pass  # meaning is known a moment later
    assert {task["id"] for task in got("/tasks")["items"]} == ours
    assert {one["id"] for one in got("/instances")["items"]} == {inside["acme"], inside["instance_id"]}
    assert {one["id"] for one in got("/patterns")["items"]} == {inside["pattern_id"]}
    for mode in ("keyword", "semantic", "hybrid"):
        assert {hit["task"]["id"] for hit in got("/search", q="card", mode=mode)["items"]} == ours
        assert got("/search", q=HIDDEN, mode="keyword")["items"] == []
    assert {hit["task"]["id"] for hit in got(f"/tasks/{inside['sibling']}/similar")} == {inside["task_id"]}
    said = got("/learning/statistics")
    assert (said["tasks"], said["instances"], said["patterns"], said["feedback"]) == (2, 2, 1, 1)
    assert said["queue"] == {}
    near = got(f"/tasks/{inside['task_id']}")
    assert (near["parent_task_id"], near["duplicate_of"], near["depends_on"]) == (None, None, [])
    assert got("/graph/tags/co-occurrence", min=0)["pairs"] == [
        {"tags": [world.tag, "till"], "count": 2, "weight": 1.0}
    ]
    assert inside["task_id"] not in {task["id"] for task in got("/tasks/ready")["items"]}
    assert got(f"/instances/{inside['acme']}/hierarchy")[-1]["id"] == inside["acme"]
    chain = got(f"/tasks/{inside['task_id']}/delegations")
    assert [one["source_instance_id"] for one in chain] == [None]


def test_what_a_bound_key_doesnt_see_stays_when_it_changes_a_task(world: World) -> None:
    """A team's edit would cut its tasks off from those of others that they wait for."""
    as_member, near = world.key(Role.MEMBER), world.inside["task_id"]
    for method, body in (
        ("PATCH", {"depends_on": [world.inside["sibling"]], "parent_task_id": None}),
        ("PUT", {"title": "Replaced", "instance_id": world.inside["instance_id"]}),
    ):
        changed = world.api.request(method, f"/tasks/{near}", json=body, headers=as_member).raise_for_status()
        assert not tells_of(changed, world)
        stored = world.api.get(f"/tasks/{near}").json()
        far = world.outside["task_id"]
        assert far in stored["depends_on"]
        assert (stored["parent_task_id"], stored["duplicate_of"]) == (far, far)
    refused = problem(world.api.post(f"/tasks/{near}/complete", headers=as_member), 409)
    assert world.outside["task_id"] not in refused["detail"]


def test_what_a_bound_key_files_stays_inside(world: World) -> None:
    """What a team files would go to whoever the server likes, and the team couldn't see it any more."""
    as_agent, acme = world.key(Role.AGENT), world.inside["acme"]
    filed = world.api.post("/tasks", json={"title": "Card is torn"}, headers=as_agent).json()
    assert filed["instance_id"] == acme
    assert filed["id"] in {t["id"] for t in world.api.get("/tasks/triage", headers=as_agent).json()["items"]}
    routed = world.api.post(
        "/tasks", json={"title": "Card is bent", "tags": [world.tag], "route": True}, headers=as_agent
    )
    assert not tells_of(routed, world)
    assert routed.json()["decision"]["chosen_instance"] == world.inside["instance_id"]
    as_member = world.key(Role.MEMBER)
    lines = b'{"title": "A line"}\n{"title": "Far", "instance_id": "%b"}\n' % world.outside["instance_id"].encode()
    report = world.api.post("/tasks/bulk", content=lines, headers=as_member | LINES).json()
    assert (report["created"], report["failed"]) == (1, 1)
    record = {"external_id": world.outside["task_id"], "title": "Taken"}
    taken = world.api.post("/tasks/import", json={"source": "hopper", "records": [record]}, headers=as_member).json()
    assert taken["results"][0]["outcome"] == "failed"
    assert world.api.get(f"/tasks/{world.outside['task_id']}").json()["title"] != "Taken"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks", {"title": "x", "instance_id": "instance_id"}),
        ("POST", "/tasks", {"title": "x", "depends_on": ["task_id"]}),
        ("PATCH", "/tasks/{task_id}", {"instance_id": "instance_id"}),
        ("PATCH", "/tasks/{task_id}", {"duplicate_of": "task_id"}),
        ("POST", "/tasks/{task_id}/delegations", {"target_instance_id": "instance_id"}),
        ("POST", "/tasks/{task_id}/delegations", {"target_instance_id": "!team", "source_instance_id": "instance_id"}),
        ("PUT", "/tasks/{task_id}/feedback", {"should_have_routed_to": "instance_id"}),
        ("POST", "/tasks/{task_id}/route?by=instance_id", None),
        ("POST", "/patterns", {"name": "x", "target_instance": "instance_id", **RULE}),
        ("PATCH", "/patterns/{pattern_id}", {"target_instance": "instance_id"}),
        ("POST", "/instances", {"name": "x", "parent_id": "instance_id"}),
        ("PATCH", "/instances/{instance_id}", {"parent_id": "instance_id"}),
        ("POST", "/keys", {"name": "x", "role": "admin", "instance_id": "instance_id"}),
        ("GET", "/tasks?instance_id=instance_id", None),
    ],
)
def test_nothing_outside_can_be_named(world: World, method: str, path: str, body: Any) -> None:
    """A bound key could push its work to others, or pull theirs to itself."""
    as_admin = world.key(Role.ADMIN)
    text = json.dumps(body)
    for name, id in world.inside.items():
        path = path.replace(f"{{{name}}}", id)
    text = text.replace('"!team"', f'"{world.inside["instance_id"]}"')
    for name in ("task_id", "instance_id"):
        text = text.replace(f'"{name}"}}', f'"{world.outside[name]}"}}').replace(
            f'["{name}"]', f'["{world.outside[name]}"]'
        )
        text = text.replace(f': "{name}"', f': "{world.outside[name]}"')
        path = path.replace(f"={name}", f"={world.outside[name]}")
    sent = {} if body is None else {"content": text, "headers": JSON}
    answer = world.api.request(method, path, headers={**sent.pop("headers", {}), **as_admin}, **sent)  # type: ignore[dict-item,arg-type]
    assert "There is no" in problem(answer, 422)["detail"]


def test_an_idempotency_key_is_its_askers_own(world: World) -> None:
    """Whoever guesses another's Idempotency-Key would be handed that one's task."""
    again = {"Idempotency-Key": uuid4().hex}
    first = world.api.post("/tasks", json={"title": HIDDEN}, headers=again).json()
    other = world.api.post("/tasks", json={"title": HIDDEN}, headers=again | world.key(Role.AGENT)).json()
    assert first["id"] != other["id"]
    assert world.api.post("/tasks", json={"title": HIDDEN}, headers=again).json()["id"] == first["id"]


def test_a_key_ends_when_it_is_revoked_or_expires(world: World) -> None:
    """Whoever has left could go on for ever."""
    as_member = world.key(Role.MEMBER)
    assert world.api.get("/keys/own", headers=as_member).json()["role"] == "member"
    world.api.post(f"/keys/{world.inside['key_id']}/revoke").raise_for_status()
    assert "revoked" in problem(world.api.get("/tasks", headers=as_member), 401)["detail"]
    short = world.key(Role.MEMBER, expires_at=(datetime.now(UTC) + timedelta(seconds=0.5)).isoformat())
    assert world.api.get("/tasks", headers=short).is_success
    while world.api.get("/tasks", headers=short).is_success:
        pass
    assert "expired" in problem(world.api.get("/tasks", headers=short), 401)["detail"]
    past = {"name": "x", "role": "agent", "expires_at": "2020-01-01T00:00:00Z"}
    assert fields(problem(world.api.post("/keys", json=past), 422)) == {"expires_at"}


def test_a_bound_admin_makes_keys_for_what_is_inside_only(world: World) -> None:
    """The admin of one team could make an admin of everything."""
    as_admin = world.key(Role.ADMIN)
    made = world.api.post("/keys", json={"name": "x", "role": "admin"}, headers=as_admin).raise_for_status().json()
    assert made["instance_id"] == world.inside["acme"]
    seen = {key["id"] for key in world.api.get("/keys", headers=as_admin).json()}
    everything = world.api.post("/keys", json={"name": "all", "role": "read-only"}).json()
    assert made["id"] in seen
    assert everything["id"] not in seen
    problem(world.api.post(f"/keys/{everything['id']}/revoke", headers=as_admin), 404)


def test_who_did_what_is_told(world: World) -> None:
    """After a mishap nobody could find out whose script it was; and no word of a task is in the log."""
    as_member = world.key(Role.MEMBER)
    near = world.inside["task_id"]
    world.api.patch(f"/tasks/{near}", json={"title": "Card was renamed"}, headers=as_member).raise_for_status()
    filed = world.api.post("/tasks", json={"title": "Card is new"}, headers=as_member).json()["id"]
    told = world.api.get("/audit", params={"key_id": world.inside["key_id"]}).json()["items"]
    assert [(one["action"], one["entity_type"], one["entity_id"]) for one in told] == [
        ("POST /tasks", "task", filed),
        ("PATCH /tasks/{task_id}", "task", near),
    ]
    assert {one["key_name"] for one in told} == {"a member"}
    assert "Card" not in json.dumps(told)
    assert len(world.api.get("/audit", params={"entity_id": near}).json()["items"]) >= 4
    world.api.post("/tasks", json={"title": "Unlike anything", "route": True}, headers=as_member).raise_for_status()
    told = world.api.get("/audit", params={"key_id": world.inside["key_id"]}).json()["items"]
    assert None not in {one["entity_id"] for one in told}
    given = {"target_instance_id": world.inside["instance_id"]}
    handed = world.api.post(f"/tasks/{filed}/delegations", json=given, headers=as_member).raise_for_status().json()
    world.api.post(f"/delegations/{handed['id']}/reject", json={}, headers=as_member).raise_for_status()
    done = world.api.get("/audit", params={"entity_id": filed}).json()["items"]
    assert done[0]["action"] == "POST /delegations/{delegation_id}/reject", "whose task came back by whom?"


def test_a_bound_keys_rule_draws_nothing_from_outside(world: World) -> None:
    """One team's rule for everything would bring it all others' tasks, to be read by it."""
    as_member, team = world.key(Role.MEMBER), world.inside["instance_id"]
    wanted = {"any": [HIDDEN]}
    rule = {"name": "all", "pattern_type": "tag", "tag_criteria": wanted, "target_instance": team, "confidence": 1.0}
    world.api.post("/patterns", json=rule, headers=as_member).raise_for_status()
    ours = world.inside["pattern_id"]
    world.api.patch(f"/patterns/{ours}", json={"tag_criteria": wanted}, headers=as_member).raise_for_status()
    task = {"title": f"Mend the {HIDDEN}", "tags": [HIDDEN], "route": True}
    assert world.api.post("/tasks", json=task).raise_for_status().json()["decision"]["chosen_instance"] != team
    there = world.api.post("/tasks", json=task, headers=as_member).raise_for_status().json()
    assert there["decision"]["chosen_instance"] == team


def test_what_has_left_isnt_told_of_when_its_making_is_repeated(world: World) -> None:
    """Whoever kept an Idempotency-Key could read for ever what others made of a task that was passed to them."""
    as_admin, elsewhere = world.key(Role.ADMIN), world.outside["instance_id"]
    made = [
        ("/tasks", {"title": "Card is torn"}, {"title": HIDDEN, "instance_id": elsewhere}),
        ("/tasks", {"title": "Till", "on_duplicate": "warn"}, {"title": HIDDEN, "instance_id": elsewhere}),
        ("/instances", {"name": "new desk"}, {"name": HIDDEN, "parent_id": elsewhere}),
        (
            "/patterns",
            {"name": "new rule", "target_instance": world.inside["instance_id"], **RULE},
            {"name": HIDDEN, "target_instance": elsewhere},
        ),
    ]
    for path, body, changes in made:
        once = as_admin | {"Idempotency-Key": uuid4().hex}
        first = world.api.post(path, json=body, headers=once).raise_for_status().json()
        assert world.api.post(path, json=body, headers=once).json()["id"] == first["id"]
        world.api.patch(f"{path}/{first['id']}", json=changes).raise_for_status()
        again = world.api.post(path, json=body, headers=once)
        problem(again, 404)
        assert not tells_of(again, world)
    once = as_admin | {"Idempotency-Key": uuid4().hex}
    first = world.api.post("/tasks", json={"title": "Stays"}, headers=once).json()
    far = {"parent_task_id": world.outside["task_id"], "depends_on": [world.outside["task_id"]]}
    world.api.patch(f"/tasks/{first['id']}", json=far).raise_for_status()
    again = world.api.post("/tasks", json={"title": "Stays"}, headers=once)
    assert again.json()["id"] == first["id"]
    assert not tells_of(again, world)


def test_what_is_above_isnt_told_of(world: World) -> None:
    """A team would learn what it is a part of, by changing itself or from a rule that was made above."""
    acme, team = world.inside["acme"], world.inside["instance_id"]
    rule = {"name": "from above", "target_instance": team, **RULE}
    above = world.api.post("/patterns", json=rule, headers=world.key(Role.MEMBER)).raise_for_status().json()
    assert above["source_instance_id"] == acme
    as_admin = world.key(Role.ADMIN, instance_id=team)
    for answer in (
        world.api.patch(f"/instances/{team}", json={"name": "team"}, headers=as_admin),
        world.api.put(f"/instances/{team}", json={"name": "team"}, headers=as_admin),
        world.api.post(f"/instances/{team}/start", headers=as_admin),
        world.api.get(f"/patterns/{above['id']}", headers=as_admin),
    ):
        assert acme not in answer.raise_for_status().text
    assert world.api.get(f"/instances/{team}").json()["parent_id"] == acme


def test_a_refusal_tells_of_nobody_outside(world: World) -> None:
    """Feedback that makes no sense would be answered with who had the task before."""
    as_member, desk = world.key(Role.MEMBER), world.outside["instance_id"]
    task = world.api.post("/tasks", json={"title": "Came back"}, headers=as_member).json()["id"]
    there = world.made(f"/tasks/{task}/delegations", target_instance_id=desk)
    world.api.post(f"/delegations/{there}/reject").raise_for_status()
    said = {"was_good_match": True, "should_have_routed_to": world.inside["instance_id"]}
    refused = world.api.put(f"/tasks/{task}/feedback", json=said, headers=as_member)
    assert "another instance" in problem(refused, 422)["detail"]
    assert not tells_of(refused, world)


def test_a_bottomless_body_of_a_bound_key_is_refused(world: World) -> None:
    """It would be answered as a fault of the server's, and fill its log."""
    nested = b'{"title": "x", "tags": ' + b'{"a":' * 1_000 + b"1" + b"}" * 1_001
    problem(world.api.post("/tasks", content=nested, headers=world.key(Role.MEMBER) | JSON), 422)


def test_who_let_a_source_in_is_told(world: World) -> None:
    """The log would say that some source was added, and not which."""
    world.source()
    source = world.outside["source_instance_id"]
    [told] = world.api.get("/audit", params={"entity_id": source}).json()["items"]
    assert (told["action"], told["entity_type"]) == ("POST /sync/sources", "source")


def test_what_is_imported_for_all_doesnt_follow_what_a_bound_key_imported_first(world: World) -> None:
    """A team could import the next numbers of a tracker beforehand, and be sent what others' records then say."""
    as_member, api = world.key(Role.MEMBER), world.api

    def taken(title: str, number: str, headers: dict[str, str]) -> Any:
        record = {"external_id": f"{world.tag}#{number}", "title": title}
        answer = api.post("/tasks/import", json={"source": "github", "records": [record]}, headers=headers)
        assert not tells_of(answer, world)
        return answer.raise_for_status().json()["results"][0]

    first = taken("Beforehand", "1", as_member)
    assert first["outcome"] == "new"
    theirs = taken(f"The {HIDDEN}", "1", KEYED)
    assert (theirs["outcome"], theirs["task_id"] == first["task_id"]) == ("new", False)
    assert taken("Again", "1", as_member)["task_id"] == first["task_id"]
    assert api.get(f"/tasks/{first['task_id']}", headers=as_member).json()["title"] == "Again"
    handed = taken("For the team", "2", KEYED)["task_id"]
    api.patch(f"/tasks/{handed}", json={"instance_id": world.inside["acme"]}).raise_for_status()
    assert taken("Changed there", "2", as_member)["task_id"] == handed
    guessed = {"id": task_id_of("github", f"{world.tag}#3"), "title": "Guessed"}
    lines = json.dumps(guessed).encode()
    assert api.post("/tasks/bulk", content=lines, headers=as_member | LINES).json()["created"] == 1
    assert taken("Number 3", "3", KEYED)["outcome"] == "failed"
    assert api.get(f"/tasks/{guessed['id']}").json()["title"] == "Guessed"


def test_a_source_may_forget_itself_and_no_other(world: World) -> None:
    """Whoever changes their mind would stay on a server for ever; or any source could remove what others taught."""
    source = world.source()
    own = world.outside["source_instance_id"]
    world.source()
    problem(world.api.delete(f"/sync/sources/{world.outside['source_instance_id']}", headers=source), 403)
    assert world.api.delete(f"/sync/sources/{own}", headers=source).status_code == 204
