"""What a local instance answers of how tasks, instances, patterns and tags hang together."""

from typing import Any

from hopper.entrypoints.local.calls import Call, Routes

_LIMIT = 500


def add_to(routes: Routes) -> None:
    """The questions of app.graph, which is loaded by the first."""
    for path, question in (
        ("/graph/tasks/{id}/delegation-chain", "delegation_chain"),
        ("/graph/tasks/{id}/blocked", "blocked"),
        ("/graph/tasks/{id}/impact", "impact"),
        ("/graph/tasks/{id}/critical-path", "critical_path"),
        ("/graph/tasks/{id}/lineage", "lineage"),
        ("/graph/instances/{id}/hierarchy", "hierarchy"),
    ):
        _add(routes, path, question)
    routes("GET", "/graph/instances/{id}/patterns")(_routing_patterns)
    routes("GET", "/graph/tags/co-occurrence")(_co_occurrence)
    routes("GET", "/graph/tags/hygiene")(_hygiene)
    routes("GET", "/graph/ping-pong")(_ping_pong)
    routes("GET", "/graph/bottlenecks")(_bottlenecks)


def _add(routes: Routes, path: str, question: str) -> None:
    async def answer(call: Call) -> Any:
        from hopper.app import graph

        return await getattr(graph, question)(call.id, _limit(call), ports=call.ports)

    routes("GET", path)(answer)


async def _routing_patterns(call: Call) -> Any:
    from hopper.app.graph import routing_patterns

    return await routing_patterns(call.id, call.query.get("min_confidence", 0), _limit(call), ports=call.ports)


async def _co_occurrence(call: Call) -> Any:
    from hopper.app.graph import co_occurrence

    return await co_occurrence(call.query.get("min", 5), _limit(call), ports=call.ports)


async def _hygiene(call: Call) -> Any:
    from hopper.app.graph import hygiene

    return await hygiene(_limit(call), ports=call.ports)


async def _ping_pong(call: Call) -> Any:
    from hopper.app.graph import ping_pong

    return await ping_pong(call.query.get("min", 1), _limit(call), ports=call.ports)


async def _bottlenecks(call: Call) -> Any:
    from hopper.app.graph import bottlenecks

    return await bottlenecks(_limit(call), ports=call.ports)


def _limit(call: Call) -> int:
    return int(call.query.get("limit") or _LIMIT)
