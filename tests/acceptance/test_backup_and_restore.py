"""A server that works is backed up, and goes on on another machine as if nothing had happened."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
from tests.asking import ADMIN_KEY
from tests.commands import run
from tests.conftest import serving

WORK = {"plumber": "The tap in the kitchen drips", "baker": "Bake a sourdough bread", "painter": "Paint the fence"}


def hopper(home: Path, *arguments: str, server: str = "") -> Any:
    """What a command answers."""
    environment = {**os.environ, "HOPPER_HOME": str(home), "HOPPER_SERVER": server, "DATABASE_URL": ""}
    done = run(*arguments, "--json", env=environment)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout)


def client(url: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    return httpx.Client(base_url=f"{url}/api/v1", headers=headers, trust_env=False, timeout=60)


def asked(api: httpx.Client, method: str, path: str, **body: Any) -> Any:
    answer = api.request(method, path, json=body or None)
    assert answer.is_success, answer.text
    return answer.json()


def reasons(decision: Any) -> tuple[Any, ...]:
    """Who was chosen, how, and by which past tasks; that tasks come in runs counts less as time passes."""
    like = [
        (f["instance_id"], f["past_tasks"]) for f in decision["decision_factors"] if f["kind"] == "similar_episodes"
    ]
    assert like
    return decision["chosen_instance"], decision["strategy"], like


def test_a_server_goes_on_from_its_backup(server_home: Path, tmp_path: Path) -> None:
    """A lost machine would take what was filed, decided and learned with it."""
    made, elsewhere = tmp_path / "b.zip", tmp_path / "elsewhere"
    ids: dict[str, str] = {}
    with serving(None, server_home) as first, client(first.url) as api:
        for name, title in WORK.items():
            ids[name] = asked(api, "POST", "/instances", name=name, scope="PROJECT")["id"]
            for which in ("", " today", " at last"):
                filed = asked(api, "POST", "/tasks", title=title + which)
                asked(api, "PUT", f"/tasks/{filed['id']}/feedback", should_have_routed_to=ids[name])
        task = asked(api, "POST", "/tasks", title="The tap drips again")["id"]
        before = asked(api, "POST", f"/tasks/{task}/route?dry_run=true")
        backup = hopper(server_home, "backup", str(made))
        refused = run("restore", made, "--replace", "--home", server_home)
        assert (refused.returncode, first.url in refused.stderr) == (4, True)
    assert before["chosen_instance"] == ids["plumber"]
    assert hopper(elsewhere, "restore", str(made))["tables"] == backup["tables"]
    with serving(None, elsewhere) as second, client(second.url) as api:
        hopper(elsewhere, "embeddings", "backfill", server=second.url)
        assert hopper(elsewhere, "embeddings", "check", server=second.url)["ok"]
        after = asked(api, "POST", f"/tasks/{task}/route?dry_run=true")
        assert reasons(after) == reasons(before)
        assert asked(api, "GET", "/learning/statistics")["tasks"] == 10
    assert hopper(elsewhere, "db", "check") == {"ok": True}
