"""hopper doctor: looks at everything that Hopper needs, and says what to do."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import typer

from hopper.entrypoints.cli.choice import LOCAL_SERVER
from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server
from hopper.entrypoints.cli.output import say, say_json
from hopper.entrypoints.cli.server import Home, Host, Port, Url, WithGraph, flags

if TYPE_CHECKING:
    from hopper.config.reading import Reading
    from hopper.entrypoints.doctor.findings import Check

_SECONDS = 30.0
"""What all checks together get; those that ask others have shorter deadlines of their own."""


def doctor(
    home: Home = None,
    database_url: Url = None,
    host: Host = None,
    port: Port = None,
    with_graph: WithGraph = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Look at everything that Hopper needs, and say what to do about what is wrong. Changes nothing.

    Exit code 1 when something is wrong; a warning is what works for now.
    """
    import logging

    from hopper.config import BadConfiguration
    from hopper.config.reading import Reading, read_settings
    from hopper.entrypoints.doctor.findings import Examination, State

    logging.getLogger("httpx").setLevel(logging.WARNING)  # a package that is loaded has all be told
    try:
        reading = read_settings(**flags(home, database_url, host, port, with_graph))
    except BadConfiguration as error:
        reading = Reading(None, {}, error.problems, None)
    examination = Examination(_checks(reading, server), _SECONDS)
    found = []
    for check, finding in examination.findings():
        found.append({"check": check, "state": finding.state, "message": finding.message, "advice": finding.advice})
        if not json:
            say(f"{finding.state:<7}  {check:<10}  {finding.message}")
            if finding.advice:
                say(f"{'':<21}→ {finding.advice}")
    is_well = all(one["state"] != State.WRONG for one in found)
    if json:
        say_json({"ok": is_well, "findings": found})
    if examination.hangs:
        sys.stdout.flush()
        os._exit(1)  # Python would wait for it
    if not is_well:
        raise typer.Exit(1)


def _checks(reading: "Reading", named: str) -> "Mapping[str, Check]":
    """Those that need the settings are left out while there is something to mend in these."""
    from hopper.entrypoints.cli.running import address_of
    from hopper.entrypoints.doctor import machine, parts
    from hopper.entrypoints.doctor.database import postgres, replica
    from hopper.entrypoints.doctor.server import server
    from hopper.entrypoints.doctor.settings import settings

    chosen = reading.settings
    usual = address_of(chosen.host, chosen.port) if chosen and chosen.port else LOCAL_SERVER
    always: dict[str, Check] = {
        "packages": partial(machine.packages, ("graph",) if chosen and chosen.database.neo4j.enabled else ()),
        "settings": partial(settings, reading),
        "server": partial(server, named, chosen.home if chosen else None, usual),
        "local": parts.local,
    }
    if chosen is None:
        return always
    needing: dict[str, Check] = {
        "data": partial(machine.data_directory, chosen.home, external=chosen.database.postgres.url is not None),
        "port": partial(machine.port, chosen),
        "postgresql": partial(postgres, chosen),
        "replica": partial(replica, chosen),
        "neo4j": partial(parts.neo4j, chosen),
        "embeddings": partial(parts.embeddings, chosen),
    }
    return {name: always.get(name) or needing[name] for name in _ORDER}


_ORDER = ("packages", "settings", "data", "port", "postgresql", "replica", "neo4j", "embeddings", "server", "local")


def register(app: typer.Typer) -> None:
    app.command()(doctor)
