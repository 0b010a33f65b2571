"""Who may do what: the permission that each route needs. With a route that isn't here the server doesn't start.

Who has which permission stands in `domain/access.py`; docs/security.md shows both as one table.
"""

from hopper.domain.access import Permission

API = "/api/v1"

_OF = {
    Permission.READ: """
        GET /tasks, GET /tasks/triage, GET /tasks/ready, GET /tasks/{task_id}, GET /tasks/{task_id}/decisions,
        GET /tasks/{task_id}/feedback, GET /tasks/{task_id}/delegations, GET /tasks/{task_id}/similar,
        GET /tasks/{task_id}/lease, GET /search,
        GET /instances, GET /instances/{instance_id}, GET /instances/{instance_id}/children,
        GET /instances/{instance_id}/hierarchy, GET /instances/{instance_id}/tasks,
        GET /instances/{instance_id}/delegations, GET /patterns, GET /patterns/{pattern_id}, POST /patterns/match,
        GET /learning/statistics, GET /graph/tasks/{task_id}/delegation-chain, GET /graph/tasks/{task_id}/blocked,
        GET /graph/tasks/{task_id}/impact, GET /graph/tasks/{task_id}/critical-path, GET /graph/tasks/{task_id}/lineage,
        GET /graph/instances/{instance_id}/hierarchy, GET /graph/instances/{instance_id}/patterns,
        GET /graph/tags/co-occurrence, GET /graph/tags/hygiene, GET /graph/ping-pong, GET /graph/bottlenecks,
        GET /keys/own""",
    Permission.FILE: "POST /tasks, POST /tasks/{task_id}/route",
    Permission.WORK: """
        POST /tasks/claim, POST /tasks/{task_id}/heartbeat, POST /tasks/{task_id}/release,
        POST /tasks/{task_id}/complete, PUT /tasks/{task_id}/feedback, POST /delegations/{delegation_id}/accept,
        POST /delegations/{delegation_id}/reject, POST /delegations/{delegation_id}/complete""",
    Permission.CHANGE: """
        PATCH /tasks/{task_id}, PUT /tasks/{task_id}, DELETE /tasks/{task_id}, POST /tasks/{task_id}/delegations,
        POST /tasks/bulk, POST /tasks/import, POST /patterns, PATCH /patterns/{pattern_id}, PUT /patterns/{pattern_id},
        DELETE /patterns/{pattern_id}, POST /instances/{instance_id}/start, POST /instances/{instance_id}/stop,
        POST /instances/{instance_id}/pause, POST /instances/{instance_id}/resume""",
    Permission.MANAGE: """
        POST /instances, PATCH /instances/{instance_id}, PUT /instances/{instance_id}, DELETE /instances/{instance_id},
        GET /keys, POST /keys, POST /keys/{key_id}/revoke""",
    Permission.OVERSEE: """
        GET /metrics, GET /embeddings/status, GET /embeddings/check, GET /graph/status, GET /graph/check,
        POST /learning/backtest""",
    Permission.OPERATE: """
        POST /embeddings/backfill, DELETE /embeddings/models/{model}, POST /graph/rebuild, POST /graph/forget,
        POST /learning/consolidate, POST /learning/rebuild, GET /sync/sources, POST /sync/sources,
        PATCH /sync/sources/{source_instance_id}, POST /sync/sources/{source_instance_id}/revoke, GET /audit""",
    # A source may forget itself, and whoever may operate the server any of them.
    Permission.SYNC: "GET /sync/southbound, GET /sync/server, DELETE /sync/sources/{source_instance_id}",
}

_FREE = "GET /healthz, GET /readyz, POST /sync/northbound, GET /sync/source"
"""For everybody, or, of the last two, for whoever has a source's token: they ask for it themselves."""


def _listed(routes: str) -> list[str]:
    return [route.strip() for route in routes.split(",")]


NEEDED: dict[str, Permission | None] = {
    **{route: permission for permission, routes in _OF.items() for route in _listed(routes)},
    **dict.fromkeys(_listed(_FREE)),
}


def permission_of(method: str, path: str) -> Permission | None:
    """What a route needs; None if it is free. Raises LookupError for one that isn't here."""
    route = f"{method} {path.removeprefix(API)}".replace(":path}", "}")
    if route not in NEEDED:
        raise LookupError(f"{__name__} doesn't say who may use {route}")
    return NEEDED[route]
