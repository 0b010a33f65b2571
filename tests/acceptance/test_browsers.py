"""What web pages may do: the server's own all, those of other sites nothing."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer, serving
from tests.problems import problem

JSON = b'{"title": "From a page"}'


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[httpx.Client]:
    headers = {"Content-Type": "application/json"}
    with httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED | headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0:80",
        "[::]",
        "[",
    ],
)
def test_a_name_that_was_made_to_point_here_isnt_answered(api: httpx.Client, host: str) -> None:
    """Any web page could read and change everything, once its own name leads to this machine."""
    for method, path in (("GET", "/tasks"), ("POST", "/tasks"), ("GET", "/openapi.json")):
        told = problem(api.request(method, path, headers={"Host": host}), 421)
        assert "localhost" in told["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:1", "hopper.localhost:99", "127.0.0.1", "127.9.9.9:8", "[::1]:8"]
)
def test_every_name_of_this_machine_is_answered(api: httpx.Client, host: str) -> None:
    """People couldn't reach their own server by the name that they are used to, or through a tunnel."""
    assert api.post("/tasks", content=JSON, headers={"Host": host}).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing(api: httpx.Client, headers: dict[str, str]) -> None:
    """Any page that somebody opens could complete, delegate and delete their tasks."""
    task = f"/tasks/{api.post('/tasks', content=JSON).json()['id']}"
    for method, path in (
        ("POST", "/tasks"),
        ("POST", "/tasks/bulk"),
        ("POST", f"{task}/complete"),
        ("POST", f"{task}/route"),
        ("PATCH", task),
        ("DELETE", task),
    ):
        problem(api.request(method, path, headers=headers), 403)
    assert api.get(task, headers=headers).json()["version"] == 1


def test_the_servers_own_page_works(api: httpx.Client, server: RunningServer) -> None:
    """Nobody could try the API in the browser."""
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert api.post("/tasks", content=JSON, headers=own).status_code == 201
    assert api.post("/tasks", content=JSON, headers={"Sec-Fetch-Site": "none"}).status_code == 201
    assert httpx.get(f"{server.url}/docs", headers={"Sec-Fetch-Site": "none"}, trust_env=False).status_code == 200


def test_a_server_for_others_answers_to_any_name_and_warns(
    database_url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A team couldn't reach its server, or would open it to everybody without knowing."""
    with serving(database_url, tmp_path, "--host", "0.0.0.0") as running:
        port = urlsplit(running.url).port
        for headers, status in (
            ({"Host": f"hopper.example:{port}"}, 201),
            ({"Host": "hopper.example", "Origin": "https://hopper.example"}, 201),
            ({"Host": "hopper.example", "Origin": "https://evil.example"}, 403),
        ):
            tasks = f"http://127.0.0.1:{port}/api/v1/tasks"
            answer = httpx.post(tasks, json={"title": "x"}, headers=KEYED | headers, trust_env=False)
            assert answer.status_code == status
    assert capfd.readouterr().err.count("open to the network") == 1


def test_a_proxy_on_the_same_machine_passes_on_the_name_that_was_allowed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team's server would have to listen on every address, only to be reached through nginx by its name."""
    monkeypatch.setenv("HOPPER_ALLOWED_HOSTS", "hopper.example.com, hopper-api")
    with serving(database_url, tmp_path) as running:
        anything = f"http://127.0.0.1:{urlsplit(running.url).port}/healthz"
        for headers, status in (
            ({"Host": "hopper.example.com", "Origin": "https://hopper.example.com"}, 405),
            ({"Host": "HOPPER.example.com:8443", "Origin": "https://HOPPER.example.com:8443"}, 405),
            ({"Host": "hopper-api:8000"}, 405),
            ({"Host": "localhost"}, 405),
            ({"Host": "hopper.example.com", "Origin": "https://evil.example"}, 403),
            ({"Host": "evil.example"}, 421),
            ({"Host": "hopper.example.com.evil.example"}, 421),
        ):
            assert httpx.post(anything, headers=headers, trust_env=False).status_code == status
