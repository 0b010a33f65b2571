"""What Hopper can do without or has elsewhere: the graph, the provider of embeddings, the nearest local instance."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hopper.entrypoints.doctor.findings import Finding, ok, warning, wrong

if TYPE_CHECKING:
    from hopper.config import Settings

_OLDEST_NEO4J = (5, 6)
_NEEDED_MEMORY = 600 * 1024**2
_SECONDS = 8.0


def neo4j(settings: "Settings") -> Iterator[Finding]:
    """The graph database, if there is to be one."""
    chosen = settings.database.neo4j
    if not chosen.enabled:
        yield ok("Neo4j is off: PostgreSQL answers what is asked of the graph")
        return
    from hopper.services import neo4j_programs

    neo4j_programs.require()
    if chosen.url:
        yield _answers(chosen.url, chosen.username, chosen.password.get_secret_value())
        return
    from hopper.services.neo4j import EmbeddedNeo4j

    java = neo4j_programs.java()
    if not os.access(java, os.X_OK):
        yield wrong(f"{java} can't be run.", f"Allow it: chmod -R go+rX {java.parents[1]}")
    jars = neo4j_programs.jars_place()
    if not jars.is_dir():
        yield warning(
            f"Neo4j's jars aren't in {jars} yet.",
            "The first start fetches them (140 MB) and needs the network for it; or copy them from another machine.",
        )
    embedded = EmbeddedNeo4j(settings.home)
    if (settings.home / "neo4j.runs").exists() and embedded.is_running():
        yield _answers(embedded.url, embedded.username, embedded.password)
    elif (free := _free_memory()) and free < _NEEDED_MEMORY:
        yield warning(f"{free / 1024**2:.0f} MiB of memory are free, and Neo4j needs about 600.", "Free some.")
    elif jars.is_dir():
        yield ok("Neo4j, its Java and its jars are there: `hopper serve` starts it")


def _answers(url: str, username: str, password: str) -> Finding:
    from hopper.adapters.neo4j.driver import open_graph

    async def version() -> str:
        async with open_graph(url, username, password) as driver:
            (row,) = await driver.read(
                "CALL dbms.components() YIELD name, versions WHERE name = 'Neo4j Kernel' RETURN versions", {}
            )
            return str(row["versions"][0])

    found = asyncio.run(version())
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < _OLDEST_NEO4J:
        return wrong(f"Neo4j at {url} is {found}, and Hopper needs 5.6 or later.", "Upgrade it, or name another.")
    return ok(f"Neo4j {found} answers at {url}")


def _free_memory() -> int | None:
    try:
        found = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:  # another system than Linux
        return None
    return int(found[1]) * 1024 if found else None


def embeddings(settings: "Settings") -> Iterator[Finding]:
    """Whether vectors can be made. Nothing is paid for that."""
    if not settings.database.pgvector.enabled:
        yield ok("pgvector is off: words, patterns and recency decide and find, without vectors")
        return
    chosen, dimension = settings.embeddings, settings.database.pgvector.embedding_dimension
    if chosen.provider == "wordllama":
        from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder

        (vector,) = asyncio.run(WordLlamaEmbedder(dimension).embed(["hopper"]))
        yield ok(f"{chosen.model} makes vectors of {len(vector)} numbers, offline")
        return
    from hopper.adapters.embeddings.openai import OpenAIEmbedder
    from hopper.config import openai_key

    key = openai_key(settings)
    embedder = OpenAIEmbedder(
        base_url=chosen.base_url, key=key, model=chosen.model, dimension=dimension, batch_size=1, timeout=_SECONDS
    )

    async def models() -> list[str] | None:
        async with embedder:
            return await embedder.models()

    found = asyncio.run(models())
    if found is None or chosen.model in found or f"{chosen.model}:latest" in found:
        yield ok(f"{chosen.base_url} answers{' and accepts the key in OPENAI_API_KEY' if key else ''}")
    else:
        yield warning(f"{chosen.base_url} doesn't name {chosen.model} among its models.", "Check 'embeddings.model'.")


def local() -> Iterator[Finding]:
    """The .hopper that commands would use from here."""
    from hopper.bootstrap_local import unread_files
    from hopper.entrypoints.cli.choice import choose

    chosen = choose()
    if chosen.directory is None:
        yield ok("No .hopper is near")
        return
    files = unread_files(chosen.directory)
    for file in files:
        yield warning(f"{chosen.directory / file.path}:{file.line}: {file.problem}.", "Mend the file.")
    if not os.access(chosen.directory, os.W_OK | os.X_OK):
        yield warning(f"You may only read {chosen.directory}.", "Have its owner give you the right to write.")
    elif not files:
        yield ok(f"{chosen.directory} ({chosen.why})")
