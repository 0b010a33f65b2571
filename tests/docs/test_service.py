"""The unit for systemd, and what documentation says to run beside it."""

import re
from pathlib import Path

from hopper.config import BadConfiguration
from hopper.entrypoints.cli.errors import exit_code

ROOT = Path(__file__).parents[2]


def settings(unit: str) -> dict[str, str]:
    return dict(re.findall(r"^([A-Za-z]+)=(.*)$", unit, re.MULTILINE))


SERVICE = settings((ROOT / "deploy" / "hopper.service").read_text())


def test_settings_that_have_to_be_mended_are_tried_once() -> None:
    """A slip in a setting would fill the journal, every two seconds, and the unit never be said to have failed."""
    assert SERVICE["Restart"] == "on-failure"
    assert SERVICE["RestartPreventExitStatus"] == str(exit_code(BadConfiguration("")))


def test_a_nightly_backup_is_of_the_services_database() -> None:
    """It would be of another database, or made by a user who may not read this one, and missed on the day of a loss."""
    documented = (ROOT / "docs" / "backup.md").read_text()
    backup = settings(re.findall(r"```ini\n(.*?)```", documented, re.DOTALL)[0])
    assert {name: backup[name] for name in ("User", "Environment", "EnvironmentFile")} == {
        name: SERVICE[name] for name in ("User", "Environment", "EnvironmentFile")
    }
    assert f"exec {SERVICE['ExecStart'].split()[0]} backup " in backup["ExecStart"]
    [cron] = re.findall(r"```cron\n(.*?)```", documented, re.DOTALL)
    for part in (SERVICE["Environment"], SERVICE["EnvironmentFile"].lstrip("-"), f"runuser -u {SERVICE['User']} "):
        assert part in cron


def test_what_is_to_be_run_as_root_names_what_the_unit_names() -> None:
    """Whoever does as documentation says would have a service that can't read its settings."""
    documented = (ROOT / "docs" / "deployment.md").read_text()
    settings_file = SERVICE["EnvironmentFile"].lstrip("-")
    for part in (
        f"useradd --system --home-dir {SERVICE['WorkingDirectory']} {SERVICE['User']}\n",
        f"UV_TOOL_BIN_DIR={Path(SERVICE['ExecStart'].split()[0]).parent} ",
        f"install -m 600 /dev/null {settings_file} ",
        f". {settings_file}; {SERVICE['Environment']};",
        f"-p EnvironmentFile={SERVICE['EnvironmentFile']} ",
    ):
        assert part in documented
