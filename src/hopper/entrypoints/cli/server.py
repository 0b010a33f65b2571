"""hopper serve and hopper db: running a server and looking after its database."""

import asyncio
import errno
import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.domain.errors import Forbidden, HopperError
from hopper.entrypoints.cli.choice import choose
from hopper.entrypoints.cli.common import Json
from hopper.entrypoints.cli.output import note
from hopper.entrypoints.cli.running import url_of

if TYPE_CHECKING:
    from hopper.config import Settings
    from hopper.services.neo4j_keeper import GraphConnection

Home = Annotated[Path | None, typer.Option(help="The data directory (HOPPER_HOME).", show_default=False)]
Url = Annotated[
    str | None,
    typer.Option(
        help="An external PostgreSQL instead of the embedded one. With a password, use DATABASE_URL: all see options.",
        show_default=False,
    ),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 picks one.", show_default="8000")]
WithGraph = Annotated[
    bool, typer.Option("--with-graph", help="Keep the graph in Neo4j, too: an embedded one, or NEO4J_URL's.")
]

db = typer.Typer(no_args_is_help=True, help="Look after the server's database.")

_WATCH_SECONDS = 2.0

_KEEP_ALIVE_SECONDS = 75
"""An idle connection stays open for longer than clients and load balancers go on using theirs (5 s, 60 s): a request
that is sent just as the server closes would be lost, and whether it was done nobody knows."""

_UNCOLLECTED = 10_000
"""So many more objects before cycles are looked for: requests make none, but those under way are as many as Python's
own 700 in no time, and the looking cost a tenth of each."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where it is, and whether it still runs as far as Hopper is to know: an external one is its owner's business."""

    url: str
    runs: Callable[[], bool] = lambda: True


class DatabaseEnded(HopperError):
    """The embedded PostgreSQL ended while the server ran."""

    slug = "unavailable"


class StartFailed(HopperError):
    """Hopper couldn't be opened over its database, for a reason that nobody foresaw."""

    slug = "unexpected"


def serve(
    home: Home = None,
    database_url: Url = None,
    host: Host = None,
    port: Port = None,
    with_graph: WithGraph = False,
    json: Json = False,
) -> None:
    """Run a server: its database, the API, and the worker that keeps the projections."""
    from hopper.config import load_settings, openai_key

    settings = load_settings(**flags(home, database_url, host, port, with_graph))
    # What is missing is told before anything is started.
    openai_key(settings)
    if settings.database.neo4j.enabled:
        from hopper.services.neo4j_programs import require

        require(embedded=not settings.database.neo4j.url)
    with suppress(KeyboardInterrupt), _listening(settings) as listener:
        address = url_of(settings.host, listener.getsockname()[1])
        with database_of(settings, exclusive=True, address=address) as database, _graph(settings) as neo4j:
            _migrated(database.url, settings)
            _run(settings, database, listener, address, json, neo4j)


def upgrade(home: Home = None, database_url: Url = None, json: Json = False) -> None:
    """Bring the database to this version's schema. `hopper serve` does so by itself."""
    from hopper.adapters.postgres import migrate
    from hopper.config import load_settings

    settings = load_settings(**flags(home, database_url))
    with database_of(settings, exclusive=False) as database:
        changed = _migrated(database.url, settings)
        complete = asyncio.run(migrate.revision(database.url)) == migrate.HEAD
    done = "The schema was upgraded." if complete else "The schema is ready for both versions."
    _say({"upgraded": changed, "complete": complete}, done if changed else "The schema is up to date.", json)


def check(home: Home = None, database_url: Url = None, json: Json = False) -> None:
    """Tell whether the database is just as this version's schema says."""
    from hopper.adapters.postgres import migrate
    from hopper.config import load_settings

    settings = load_settings(**flags(home, database_url))
    with database_of(settings, exclusive=False) as database:
        asyncio.run(migrate.check(database.url, pgvector=settings.database.pgvector.enabled))
    _say({"ok": True}, "The database is as the schema says.", json)


def register(app: typer.Typer) -> None:
    app.command()(serve)
    db.command()(upgrade)
    db.command()(check)
    app.add_typer(db, name="db")


def flags(
    home: Path | None = None,
    database_url: str | None = None,
    host: str | None = None,
    port: int | None = None,
    with_graph: bool = False,
) -> dict[str, Any]:
    """The settings that are given on the command line."""
    postgres = {"postgres": {"url": database_url}} if database_url else {}
    neo4j = {"neo4j": {"enabled": True}} if with_graph else {}
    return {"home": home, "database": postgres | neo4j, "host": host, "port": port}


def _migrated(url: str, settings: "Settings") -> bool:
    from hopper.adapters.postgres import migrate

    return asyncio.run(migrate.upgrade(url, note, pgvector=settings.database.pgvector.enabled))


@contextmanager
def database_of(settings: "Settings", *, exclusive: bool, address: str = "") -> Iterator[Database]:
    """The database to use, with an embedded one running for as long as it takes.

    Only who has it for himself may make one: a command with a mistyped directory would leave a database there.
    """
    if settings.database.postgres.url:
        yield Database(settings.database.postgres.url)
        return
    from hopper.services.postgres import EmbeddedPostgres

    embedded = EmbeddedPostgres(settings.home, exclusive=exclusive, progress=note)
    if not exclusive:
        embedded.require_made()
    with embedded as postgres:
        if exclusive:
            postgres.announce(address)
        yield Database(postgres.url, postgres.runs)


@contextmanager
def _graph(settings: "Settings") -> Iterator["Callable[[], GraphConnection | None] | None"]:
    """Says where Neo4j is, whenever it is asked, or None while it isn't ready; None if there is to be none."""
    neo4j = settings.database.neo4j
    if not neo4j.enabled:
        yield None
        return
    from hopper.services.neo4j_keeper import GraphConnection, Neo4jKeeper

    if neo4j.url:
        external = GraphConnection(neo4j.url, neo4j.username, neo4j.password.get_secret_value())
        yield lambda: external
        return
    with Neo4jKeeper(settings.home, note) as keeper:
        yield keeper.connection


@contextmanager
def _listening(settings: "Settings") -> Iterator[socket.socket]:
    """The server's socket, taken first: a port in use is found before anything is started."""
    from hopper.config import BadConfiguration

    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BadConfiguration(
                f"The port {settings.port} is in use on {settings.host}. Stop what uses it, or choose another: "
                f"`make serve PORT={settings.port + 1}` or `hopper serve --port {settings.port + 1}`."
            ) from None
        raise BadConfiguration(f"Can't listen on {settings.host}:{settings.port}: {error.strerror}.") from None
    with listener:
        yield listener


def _run(
    settings: "Settings",
    database: Database,
    listener: socket.socket,
    address: str,
    json: bool,
    neo4j: "Callable[[], GraphConnection | None] | None",
) -> None:
    import uvicorn

    from hopper.bootstrap import open_hopper, open_spans
    from hopper.entrypoints.cli.admin_key import keep
    from hopper.entrypoints.http.app import create_app
    from hopper.entrypoints.http.guard import is_loopback
    from hopper.entrypoints.logs import log_to_stderr

    # Where it really listens: names such as LOCALHOST or 127.1 say it in other words.
    settings = settings.model_copy(update={"host": listener.getsockname()[0]})
    if not is_loopback(settings.host):
        note(f"{address} is open to the network, unencrypted: put a proxy with TLS before it (docs/deployment.md).")

    log_to_stderr(settings.logging.format, settings.logging.level)
    spans = open_spans()
    app = create_app(settings, lambda: open_hopper(settings, database.url, neo4j, spans), spans)
    opened = AsyncExitStack()

    class Server(uvicorn.Server):
        """Opens and closes the app itself: uvicorn would log a traceback of what went wrong, and exit with 3."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                await opened.enter_async_context(app.router.lifespan_context(app))
                if not settings.auth.admin_key.get_secret_value():
                    await keep(settings.home, app.state.ports)
            except (HopperError, OSError):
                await opened.aclose()
                raise
            except Exception as error:
                await opened.aclose()
                raise StartFailed(f"Hopper can't start: {type(error).__name__}: {error}") from error
            gc.freeze()  # what is there stays: looking through it for cycles takes longer than a large request does
            gc.set_threshold(_UNCOLLECTED, 10, 10)
            await super().startup(sockets)
            watching = asyncio.create_task(self._watch())
            opened.callback(watching.cancel)
            _say({"address": address, "data": settings.display_url}, _welcome(settings, address), json)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await super().shutdown(sockets)
            await opened.aclose()

        async def _watch(self) -> None:
            """Stop when the database has ended: a server without one would only refuse, for ever."""
            while not self.should_exit:
                await asyncio.sleep(_WATCH_SECONDS)
                if await asyncio.to_thread(_has_ended, database):
                    self.should_exit = True

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        proxy_headers=False,
    )
    try:
        Server(config).run(sockets=[listener])
    finally:
        if spans:
            spans.close()
    if _has_ended(database):
        raise DatabaseEnded(
            f"PostgreSQL ended, so the server did too; {settings.home}/postgres.log may say why. Start it again: "
            "what was acknowledged is there."
        )


def _has_ended(database: Database) -> bool:
    try:
        return not database.runs()
    except OSError:  # it can't be told just now
        return False


def _is_chosen(address: str) -> bool:
    """Whether commands go there from here by themselves."""
    try:
        return choose().server == address
    except Forbidden:
        return False


def _welcome(settings: "Settings", address: str) -> str:
    elsewhere = [] if _is_chosen(address) else [f"export HOPPER_SERVER={address}"]
    tries = "\n         ".join(
        [
            *elsewhere,
            'hopper add "Card is declined abroad" --route',
            "hopper demo          (a real sample, in a database of its own)",
            "hopper --help",
        ]
    )
    return f"""
  Hopper is ready at {address}

  data   {settings.display_url}
  API    {address}/docs
  try    {tries}
  stop   Ctrl-C
"""


def _say(machine: dict[str, object], human: str, json: bool) -> None:
    from json import dumps

    typer.echo(dumps(machine) if json else human)
