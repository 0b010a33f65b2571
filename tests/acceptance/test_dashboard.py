"""deploy/: the dashboard, the alerts and the documentation name metrics that a server tells, and all of them."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.asking import KEYED
from tests.conftest import RunningServer

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
NAME = re.compile(r"\b(?:hopper|process)_[a-z_]+")


@pytest.fixture(scope="module")
def told(server: RunningServer) -> set[str]:
    """The names that a server tells, as they are asked for."""
    text = httpx.get(f"{server.url}/metrics", headers=KEYED, trust_env=False, timeout=30).text
    names: set[str] = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return names


def panels() -> list[dict[str, Any]]:
    board = json.loads((DEPLOY / "grafana" / "hopper.json").read_text())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def test_the_dashboard_shows_what_there_is(told: set[str]) -> None:
    """A person would look at empty panels while something is wrong, and think that all is well."""
    named = {name for panel in panels() for expression in expressions(panel) for name in NAME.findall(expression)}
    assert len(named) > 25
    assert named <= told


def test_the_dashboard_can_be_loaded() -> None:
    """Grafana would refuse it, or lay its panels over one another."""
    board = json.loads((DEPLOY / "grafana" / "hopper.json").read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= board.keys()
    assert board["schemaVersion"] >= 39
    assert "id" not in board  # of another Grafana's
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    variables = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
    for panel in panels():
        for expression in expressions(panel):
            assert set(re.findall(r"\$(\w+)", expression)) <= variables
            assert all(
                expression.count(opening) == expression.count(closing) for opening, closing in ("()", "[]", "{}")
            )


def test_alerts_watch_what_there_is(told: set[str]) -> None:
    """An alert on a name that has changed never fires."""
    [group] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert {"alert", "expr", "for", "labels", "annotations"} == rule.keys()
        assert set(NAME.findall(rule["expr"])) - {"up"} <= told, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert f"`{rule['alert']}`" in (ROOT / "docs" / "observability.md").read_text()


def test_prometheus_is_told_where_to_ask() -> None:
    """It would ask without a key, and see nothing."""
    configured = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    [job] = configured["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("hopper", "/metrics")
    assert job["authorization"].keys() == {"type", "credentials_file"}
    assert [(DEPLOY / name).is_file() for name in configured["rule_files"]] == [True]


def test_every_metric_is_documented(told: set[str]) -> None:
    """Nobody would know what a number says."""
    documented = set(NAME.findall((ROOT / "docs" / "observability.md").read_text()))
    own = {re.sub("_(bucket|sum|count)$", "", name) for name in told if name.startswith("hopper_")}
    assert own <= documented
    with_replica = {"hopper_replica_up", "hopper_replica_lag_seconds", "hopper_searches_total"}
    assert {name for name in documented if name.startswith("hopper_")} <= own | told | with_replica
