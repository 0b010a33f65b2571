"""A server that is taught, over HTTP (docs/sync-protocol.md)."""

from collections import Counter
from typing import Any

from hopper.adapters.http.client import HopperClient, RemoteProblem, segment
from hopper.domain.ids import InstanceId
from hopper.domain.told import identifier, whole
from hopper.sync.pack import PatternPack


class HttpTeachingServer:
    """Implements ports.teaching.TeachingServer.

    `sent` bytes were merged so far, and `receipts` add up what they changed.
    """

    def __init__(self, client: HopperClient) -> None:
        self._client = client
        self.sent = 0
        self.receipts = Counter[str]()

    def source(self) -> tuple[InstanceId, int]:
        return self._client.understood(self._client.get("/sync/source"), _source)

    def merge(self, push: bytes) -> None:
        self.receipts.update(self._client.teach(push))
        self.sent += len(push)

    def pack(self) -> PatternPack:
        return PatternPack.read(self._client.get("/sync/southbound"))

    def forget(self, source: InstanceId) -> None:
        try:
            self._client.delete(f"/sync/sources/{segment(source)}")
        except RemoteProblem as problem:
            if problem.status not in (401, 404):  # it is forgotten there already, and its token with it
                raise


def _source(said: Any) -> tuple[InstanceId, int]:
    return identifier(said["source_instance_id"]), whole(said["sequence"])
