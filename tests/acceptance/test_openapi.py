"""The API's own description: complete, and true whatever a client sends."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
import schemathesis
from schemathesis import Case, SerializationContext
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
from tests.asking import KEYED
from tests.conftest import RunningServer

from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.entrypoints.http.app import create_app

DESCRIPTION: dict[str, Any] = create_app(load_settings(), lambda: open_hopper(load_settings(), "")).openapi()
"""What the server serves (a test holds them equal), here already to know which operations there are to test."""

SEARCHED = {"model": "wordllama-256"}

CONFIG = {"generation": {"max-examples": 12, "deterministic": True, "no-shrink": True}}
"""Few enough examples to wait for; besides them each constraint of a parameter is tried in turn."""

api = schemathesis.openapi.from_dict(DESCRIPTION, config=SchemathesisConfig.from_dict(CONFIG))


@schemathesis.serializer("application/x-ndjson")
def _as_it_is(_context: SerializationContext, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@api.parametrize()
def test_answers_are_as_described(case: Case[Any], server: RunningServer) -> None:
    """A client that was made from the description would break on what the server really answers."""
    aim(case, server.url)
    case.call_and_validate(
        base_url=server.url,
        checks=[
            not_a_server_error,
            content_type_conformance,
            response_headers_conformance,
            response_schema_conformance,
        ],
    )


def aim(case: Case[Any], url: str) -> None:
    """Let every other request name something that is there: made-up ids would only ever be not found."""
    for name, id in (case.path_parameters or {}).items():
        if isinstance(id, str) and len(id) % 2 and re.fullmatch("[A-Za-z0-9._-]{1,36}", id):
            case.path_parameters[name] = existing(url, case.operation.label)[name]
    case.headers.update(KEYED)
    if case.operation.path.endswith(("/northbound", "/sync/source")):
        case.headers["Authorization"] = f"Bearer {existing(url, case.operation.label)['token']}"


@cache
def existing(url: str, _operation: str) -> dict[str, str]:
    """Something of each kind, made anew for each operation: some remove it."""
    with httpx.Client(base_url=f"{url}/api/v1", headers=KEYED, trust_env=False) as client:

        def made(path: str, **body: Any) -> str:
            id: str = client.post(path, json=body).raise_for_status().json()["id"]
            return id

        instance, task = made("/instances", name="described"), made("/tasks", title="Described")
        delegation = made(f"/tasks/{task}/delegations", target_instance_id=instance)
        rule = {"pattern_type": "priority", "priority_criteria": "low", "target_instance": instance}
        pattern = made("/patterns", name="described", is_active=False, **rule)
        client.put(f"/tasks/{task}/feedback", json={"was_good_match": True}).raise_for_status()
        known = {"source_instance_id": uuid4().hex, "name": "described"}
        token = client.post("/sync/sources", json=known).raise_for_status().json()["token"]
        key = made("/keys", name="described", role="agent")
    found = {
        "task_id": task,
        "instance_id": instance,
        "delegation_id": delegation,
        "pattern_id": pattern,
        "key_id": key,
    }
    return {**found, "source_instance_id": known["source_instance_id"], "token": token, **SEARCHED}


OPERATIONS = [
    (f"{method.upper()} {path}", operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
]
WITH_BODY = [(name, operation["requestBody"]) for name, operation in OPERATIONS if "requestBody" in operation]


def named(entries: list[tuple[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", [entry for _, entry in entries], ids=[name for name, _ in entries])


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with the components that it refers to."""
    return {**schema, "components": DESCRIPTION["components"]}


def examples_of(media: dict[str, Any]) -> list[Any]:
    """The examples of a body, whether they stand beside its schema or inside it."""
    schema = media["schema"]
    if "$ref" in schema:
        schema = DESCRIPTION["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [
        *([media["example"]] if "example" in media else []),
        *(example["value"] for example in media.get("examples", {}).values()),
        *schema.get("examples", []),
    ]


def references(value: Any) -> Iterator[str]:
    """All that the description refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_the_server_serves_this_description(server: RunningServer) -> None:
    """What is tested here would be something else than what clients get."""
    assert httpx.get(f"{server.url}/api/v1/openapi.json", trust_env=False).json() == json.loads(json.dumps(DESCRIPTION))


def test_every_reference_leads_somewhere() -> None:
    """The documentation page would show errors, and no client could be made from the description."""
    there = {f"#/components/schemas/{name}" for name in DESCRIPTION["components"]["schemas"]}
    assert set(references(DESCRIPTION)) - there == set()


@named(OPERATIONS)
def test_an_operation_says_what_it_does(entry: dict[str, Any]) -> None:
    """Whoever reads the documentation would have to guess."""
    assert entry["summary"].strip()
    assert entry["tags"]
    if "requestBody" in entry:
        assert entry["description"].strip()
    for parameter in entry.get("parameters", []):
        assert parameter["schema"]


def test_operations_have_names_of_their_own() -> None:
    """Clients that are made from the description would have two methods of one name."""
    names = [operation["operationId"] for _, operation in OPERATIONS]
    assert len(set(names)) == len(names)


@named(WITH_BODY)
def test_a_body_has_examples_that_are_valid(entry: dict[str, Any]) -> None:
    """The first thing that people copy from the documentation would be refused."""
    for kind, media in entry["content"].items():
        examples = examples_of(media)
        assert examples
        validator = jsonschema_rs.validator_for(whole(media["schema"]))
        for example in examples:
            assert [str(error) for error in validator.iter_errors(example)] == [], kind


@named([(name, operation) for name, operation in OPERATIONS if " /api/" in name])
def test_an_operation_says_what_can_go_wrong(entry: dict[str, Any]) -> None:
    """A client would meet errors that nobody told it of."""
    for status, answer in entry["responses"].items():
        if status >= "400":
            assert list(answer["content"]) == ["application/problem+json"]
    assert {"422", "503"} <= entry["responses"].keys()
    if any(parameter["in"] == "path" for parameter in entry.get("parameters", [])):
        assert "404" in entry["responses"]
