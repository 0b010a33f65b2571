"""Lengths of time, as people type them."""

import re
from datetime import timedelta

_UNITS = {"": "seconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta | None:
    """`90`, `90s`, `5m`, `2h`, `1d` or `8w`; None for anything else."""
    found = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text)
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    except OverflowError:  # longer than there are dates
        return None
