"""Run as a program: `hopper` with a clock that is wrong by as many seconds as SKEW says."""

import os
from datetime import UTC, datetime, timedelta

import hopper.bootstrap
from hopper.entrypoints.cli.main import main


class SkewedClock:
    """Implements ports.clock.Clock."""

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(os.environ["SKEW"]))


if __name__ == "__main__":
    hopper.bootstrap.SystemClock = SkewedClock  # type: ignore[attr-defined,assignment]
    main()
