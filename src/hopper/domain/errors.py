"""Every way in which a request can be wrong, each with a message that says what to do about it.

`slug` is the stable name of the problem, the same in HTTP problem details, the CLI and the docs.
"""


class HopperError(Exception):
    """Something that a person can mend; the message says how."""

    slug = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(HopperError):
    """What was asked for isn't there."""

    slug = "not-found"

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"There is no {kind} with the id {id!r}.")
        self.kind = kind
        self.id = id


class Invalid(HopperError):
    """A value can't be used; `field` names it."""

    slug = "invalid"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class Conflict(HopperError):
    """The request is well-formed but the present state refuses it."""

    slug = "conflict"


class Cycle(Conflict):
    """A parent or a dependency would, through others, become its own ancestor."""

    slug = "cycle"


class LeaseLost(Conflict):
    """The lease has run out, was given back, or is another worker's."""

    slug = "lease-lost"


class StaleVersion(HopperError):
    """The entity has changed since the caller read it (If-Match)."""

    slug = "stale-version"

    def __init__(self, kind: str, id: str, current: int) -> None:
        super().__init__(
            f"The {kind} {id!r} has changed since you read it and is now at version {current}. "
            "Read it again and repeat your change."
        )
        self.current = current


class IdempotencyMismatch(HopperError):
    """An Idempotency-Key came again with another request body."""

    slug = "idempotency-mismatch"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The Idempotency-Key {key!r} was used before with another request. Use a new key for a new request."
        )


class Unauthorized(HopperError):
    """Whoever asks hasn't said, or proved, who they are."""

    slug = "unauthorized"


class Forbidden(HopperError):
    """It is known who asks, and they may not."""

    slug = "forbidden"


class Unavailable(HopperError):
    """A part that Hopper depends on can't be reached just now; trying again later may help."""

    slug = "unavailable"


class Starting(Unavailable):
    """A part that Hopper starts itself isn't ready yet; who starts it tells of any trouble with that."""


class Misconfigured(HopperError):
    """A part that Hopper depends on refuses what it was told; only a person can mend that, and work waits for it."""

    slug = "misconfigured"
