"""A server that is taught, over HTTP (docs/sync-protocol.md)."""

from collections import Counter
from typing import Any

from hopper.adapters.http.client import HopperClient, RemoteProblem, segment
from hopper.domain.ids import InstanceId

_RECEIPT = ("patterns_new", "patterns_changed", "episodes_new")


class HttpTeachingServer:
    """Implements ports.teaching.TeachingServer.

    `sent` bytes were merged so far, and `receipts` add up what they changed.
    """

    def __init__(self, client: HopperClient) -> None:
        self._client = client
        self.sent = 0
        self.receipts = Counter[str](dict.fromkeys(_RECEIPT, 0))

    def source(self) -> tuple[InstanceId, int]:
        told = self._client.get("/sync/source")
        return told["source_instance_id"], told["sequence"]

    def merge(self, push: bytes) -> None:
        receipt = self._client.teach(push)
        self.sent += len(push)
        self.receipts.update({name: receipt[name] for name in _RECEIPT})

    def pack(self) -> dict[str, Any]:
        pack: dict[str, Any] = self._client.get("/sync/southbound")
        return pack

    def forget(self, source: InstanceId) -> None:
        try:
            self._client.delete(f"/sync/sources/{segment(source)}")
        except RemoteProblem as problem:
            if problem.status != 404:  # it is forgotten there already
                raise
