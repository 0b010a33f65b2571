"""What a process has read of what was learned."""

from hopper.routing.text_model import TextModel


class Memory:
    """The text model that this process decides with, and its version; None while none has been learned."""

    def __init__(self) -> None:
        self.version = 0
        self.text_model: TextModel | None = None
