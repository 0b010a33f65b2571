"""What a process has read of what was learned."""

from hopper.routing.text_model import TextModel


class Memory:
    """The text model that this process decides with, and the stored version that it has read.

    `text_model` is None while none has been learned, or when the stored one can't be used: another release of Hopper
    may have stored it. `is_readable` says which.
    """

    def __init__(self) -> None:
        self.version = 0
        self.text_model: TextModel | None = None
        self.is_readable = True
