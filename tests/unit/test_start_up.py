"""What a local command imports before it does anything: a person waits for it each time."""

import subprocess
import sys

HEAVY = {"numpy", "sklearn", "asyncpg", "sqlalchemy", "fastapi", "pydantic", "asyncio", "yaml", "httpx", "orjson"}


def test_filing_and_editing_locally_import_nothing_heavy() -> None:
    """Every command would take half a second longer."""
    program = "import sys, hopper.bootstrap_local, hopper.app.lifecycle, hopper.app.tasks; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert HEAVY.isdisjoint(loaded)
    assert "hopper.adapters.markdown.unit_of_work" in loaded
