"""Reading the problems that the API tells (RFC 9457)."""

from typing import Any

import httpx

TYPES = {
    400: {"unreadable"},
    401: {"unauthorized"},
    403: {"cross-site", "forbidden"},
    404: {"not-found"},
    405: {"method-not-allowed"},
    408: {"too-slow"},
    409: {"conflict", "cycle", "duplicate", "lease-lost"},
    412: {"stale-version"},
    413: {"too-large"},
    415: {"media-type"},
    421: {"misdirected"},
    422: {"invalid", "idempotency-mismatch"},
    429: {"rate-limited"},
    503: {"unavailable"},
}
"""What clients may branch on, by status: none of it may ever change its name."""


def problem(response: httpx.Response, *statuses: int) -> dict[str, Any]:
    """The problem that was told, which has one of these statuses and all that a problem has."""
    assert response.status_code in statuses, (response.status_code, response.text[:300])
    assert response.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    prefix, _, slug = told["type"].rpartition(":")
    assert prefix == "urn:hopper:problem"
    assert slug in TYPES[response.status_code]
    assert told["status"] == response.status_code
    assert told["title"]
    assert told["detail"]
    return told


def fields(told: dict[str, Any]) -> set[str]:
    """Which fields are wrong."""
    return {error["field"] for error in told["errors"]}
