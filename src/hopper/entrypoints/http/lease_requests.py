"""What workers send about the tasks that they claim."""

import re
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from hopper.domain.lease import LONGEST_SECONDS, Proof
from hopper.entrypoints.http.requests import Id, Name, Request

_AS_CLAIMED = "^[0-9a-f]{32}$"


def _token(text: str) -> str:
    if not re.fullmatch(_AS_CLAIMED, text):
        raise ValueError("This isn't a claim's token: that has 32 digits and letters from a to f, as claiming gave it")
    return text


Token = Annotated[str, AfterValidator(_token), Field(json_schema_extra={"pattern": _AS_CLAIMED})]
LeaseSeconds = Annotated[int, Field(ge=1, le=LONGEST_SECONDS, description="How long the lease lasts from now on.")]


class NewClaim(Request):
    """Who asks for work, and for how long."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"instance_id": "0198c0de-0000-7000-8000-000000000000", "worker": "agent-1"}]}
    )

    instance_id: Id
    worker: Name | None = Field(None, description="What the worker calls itself.")
    lease_seconds: LeaseSeconds = 300

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)


class HeldTask(Request):
    """Whose lease it is: the `token` of the claim, or the name of the `worker` that claimed."""

    token: Token | None = None
    worker: Name | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if (self.token is None) == (self.worker is None):
            raise ValueError("Give the token of the claim, or else the name of the worker that claimed")
        return self

    @property
    def proof(self) -> Proof:
        return Proof(self.token, self.worker)


class Heartbeat(HeldTask):
    """A worker is still at its task."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "0123456789abcdef0123456789abcdef"}]})

    lease_seconds: LeaseSeconds = 300

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.lease_seconds)


class Release(HeldTask):
    """A worker gives its task back."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"token": "0123456789abcdef0123456789abcdef", "reason": "needs another tool"}]}
    )

    reason: Annotated[str, StringConstraints(max_length=1_000, pattern=r"^[^\x00]*$")] | None = None


class Completion(Request):
    """With the `token` of a claim, refused if somebody else has claimed the task since."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "0123456789abcdef0123456789abcdef"}]})

    token: Token | None = None


BY_ANYONE = Completion()
"""What a completion without a body says."""
