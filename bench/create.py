"""Durable creates over HTTP, beside the barest endpoint on the same PostgreSQL, in turns."""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import sleep

from bench import servers
from bench.figures import Figure
from bench.load import Load, create_tasks
from hopper.services.postgres import EmbeddedPostgres

CLIENTS = 16
ROUNDS = 9
REQUESTS = 3_000


def measure() -> list[Figure]:
    """16 clients, so many rounds of each server; the median round counts."""
    ours: list[Load] = []
    bare: list[Load] = []
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        EmbeddedPostgres(Path(place), exclusive=False) as postgres,
        servers.hopper(servers.create_database(postgres.url, "ours"), Path(place)) as hopper,
        servers.floor(servers.create_database(postgres.url, "floor")) as floor,
    ):
        for server in (hopper, floor):
            create_tasks(server, clients=CLIENTS, requests=500)
        for _ in range(ROUNDS):
            sleep(3)  # what the worker has put off is embedded in between
            bare.append(create_tasks(floor, clients=CLIENTS, requests=REQUESTS))
            ours.append(create_tasks(hopper, clients=CLIENTS, requests=REQUESTS))
    rate, floor_rate = (median(load.rate for load in loads) for loads in (ours, bare))
    return [
        Figure(name="creates a second, against the floor", value=rate / floor_rate, goal=0.7),
        Figure(name="creates a second", value=rate, unit="/s"),
        Figure(name="creates a second, floor", value=floor_rate, unit="/s"),
        Figure(name="a create, p50", value=median(load.p50_ms for load in ours), unit="ms"),
        Figure(name="a create, p50, floor", value=median(load.p50_ms for load in bare), unit="ms"),
        Figure(name="a create, p99", value=median(load.p99_ms for load in ours), unit="ms"),
        Figure(name="a create, p99, floor", value=median(load.p99_ms for load in bare), unit="ms"),
    ]
