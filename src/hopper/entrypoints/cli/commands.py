"""The whole hopper command line, put together from its parts. Typer brings pydantic along: 0.1 s to load."""

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hopper import __version__
from hopper.entrypoints.cli import (
    backup,
    bench,
    config,
    data,
    delegations,
    demo,
    doctor,
    embeddings,
    exports,
    graph,
    instances,
    keys,
    learning,
    leases,
    patterns,
    pruning,
    pushing,
    routing,
    search,
    server,
    show,
    sync,
    tasks,
    where,
)

EXIT_CODES = """\
Exit codes: 0 fine; 1 something unexpected, or `doctor` or `config check` found something to mend;
2 wrong usage or configuration; 3 not found;
4 refused (invalid, in conflict, changed meanwhile, ambiguous, too large); 5 the server can't be
reached or isn't available; 6 an import ended with lines that couldn't be used;
7 a check found differences; 130 interrupted.
"""

SECTIONS = {
    "Tasks": "add ls show edit done rm search similar triage",
    "Who does them": "route why feedback delegate delegation instance pattern learn",
    "Work, for people and agents": "ready claim heartbeat release",
    "Lists in files": "init where push pull sync",
    "In and out": "import export",
    "The server": "serve doctor config key whoami audit stats embeddings graph backup restore db",
    "To see what it does": "demo bench",
}
"""Under what the help lists each command."""


class Sections(TyperGroup):
    """Help that lists the commands by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(width), self.commands[name].get_short_help_str(formatter.width - width - 6))
                        for name in names.split()
                    ]
                )


app = typer.Typer(
    cls=Sections,
    help="Routes every task to whoever should do it, explains why, and learns from every outcome.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hopper {__version__}")
        raise typer.Exit


@app.callback()
def hopper(
    address: Annotated[
        str | None, typer.Option("--server", help="The server's address, for any command.", show_default=False)
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Routes every task to whoever should do it, explains why, and learns from every outcome."""
    if address is not None:
        os.environ["HOPPER_SERVER"] = address


for part in (
    tasks,
    where,
    leases,
    show,
    search,
    routing,
    instances,
    patterns,
    learning,
    delegations,
    data,
    exports,
    pushing,
    embeddings,
    graph,
    sync,
    keys,
    server,
    pruning,
    backup,
    config,
    doctor,
    demo,
    bench,
):
    part.register(app)
