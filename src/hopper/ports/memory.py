"""What a process has read of what was learned."""

from hopper.ports.text_models import Mark
from hopper.routing.text_model import TextModel


class Memory:
    """The text model that this process decides with, and its version; None while none has been learned.

    `in_vain` is the last outcome when there was nothing to learn from: it needn't be tried again soon.
    """

    def __init__(self) -> None:
        self.version = 0
        self.text_model: TextModel | None = None
        self.in_vain: Mark | None = None
