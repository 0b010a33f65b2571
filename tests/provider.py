"""A real HTTP server on loopback that speaks OpenAI's embeddings API, and fails in the ways in which others do."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from zlib import crc32

DIMENSION = 1536


@dataclass(frozen=True)
class Call:
    """What was asked for."""

    path: str
    model: str
    texts: list[str]
    authorization: str | None
    at: float


class Provider:
    """`url` is the base URL; `calls` what was asked. `fails` says how the next calls end, `always` how all do."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.fails: list[Fault] = []
        self.always: Fault | None = None
        self.models: list[str] | None = None
        self.released = Event()
        provider = self

        class Asked(Answer):
            asked_of = provider

        self.server = Server(("127.0.0.1", 0), Asked)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    @property
    def texts(self) -> list[str]:
        return [text for call in self.calls for text in call.texts]


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked_of: Provider

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = Call(self.path, asked["model"], asked["input"], self.headers.get("Authorization"), time.monotonic())
        provider = self.asked_of
        provider.calls.append(call)
        fault = provider.fails.pop(0) if provider.fails else provider.always
        if fault:
            fault(self, call.texts)
        else:
            self.json(whole(call.texts))

    def do_GET(self) -> None:
        """Which models there are, if it says so."""
        provider = self.asked_of
        if provider.always:
            provider.always(self, [])
        elif provider.models is None:
            self.json({}, 404)
        else:
            self.json({"data": [{"id": model} for model in provider.models]})

    def json(self, content: object, status: int = 200, **headers: str) -> None:
        self.bytes(json.dumps(content).encode(), status, **headers)

    def bytes(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


Fault = Callable[[Answer, list[str]], None]


def vector_of(text: str, dimension: int = DIMENSION) -> list[float]:
    """Texts that share words are alike; not at unit length."""
    vector = [0.0] * dimension
    for word in text.lower().split():
        vector[crc32(word.encode()) % dimension] += 2.0
    return vector


def whole(texts: list[str], dimension: int = DIMENSION) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": at, "embedding": vector_of(text, dimension)} for at, text in enumerate(texts)
    ]
    return {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def status(code: int, **headers: str) -> Fault:
    """Answer with this status; the body repeats what a careless provider would: the key and the text."""

    def fault(answer: Answer, texts: list[str]) -> None:
        told = f"{answer.headers.get('Authorization')} {texts}"
        answer.json({"error": {"message": told, "type": "t", "code": "c"}}, code, **headers)

    return fault


def shuffled(answer: Answer, texts: list[str]) -> None:
    content = whole(texts)
    content["data"].reverse()
    answer.json(content)


def missing_one(answer: Answer, texts: list[str]) -> None:
    content = whole(texts)
    del content["data"][-1]
    answer.json(content)


def one_twice(answer: Answer, texts: list[str]) -> None:
    content = whole(texts)
    content["data"][-1] = content["data"][0]
    answer.json(content)


def truncated(answer: Answer, texts: list[str]) -> None:
    content = json.dumps(whole(texts)).encode()
    answer.bytes(content[: len(content) // 2])


def broken_off(answer: Answer, texts: list[str]) -> None:
    """The connection ends in the middle of the answer."""
    content = json.dumps(whole(texts)).encode()
    answer.send_response(200)
    answer.send_header("Content-Length", str(len(content)))
    answer.end_headers()
    answer.wfile.write(content[: len(content) // 2])
    answer.close_connection = True


def another_page(answer: Answer, _texts: list[str]) -> None:
    answer.bytes(b"<html>Welcome to this hotel's network</html>")


def another_shape(answer: Answer, _texts: list[str]) -> None:
    answer.json({"data": [{"index": 0, "embedding": {"a": 1}}]})


def of_dimension(dimension: int) -> Fault:
    return lambda answer, texts: answer.json(whole(texts, dimension))


def with_number(number: object, where: Callable[[str], bool] = lambda text: True) -> Fault:
    """Texts of this kind have a number in their vector that is none."""

    def fault(answer: Answer, texts: list[str]) -> None:
        content = whole(texts)
        for item, text in zip(content["data"], texts, strict=True):
            if where(text):
                item["embedding"][3] = number
        answer.json(content)

    return fault


def refusing(where: Callable[[str], bool]) -> Fault:
    """A call with a text of this kind is refused as a whole."""

    def fault(answer: Answer, texts: list[str]) -> None:
        if any(where(text) for text in texts):
            status(400)(answer, texts)
        else:
            answer.json(whole(texts))

    return fault


def hang(answer: Answer, _texts: list[str]) -> None:
    """Never answer."""
    answer.asked_of.released.wait()
    answer.close_connection = True


def drip(answer: Answer, _texts: list[str]) -> None:
    """Answer without end, a byte now and then: no single read ever times out."""
    answer.send_response(200)
    answer.send_header("Content-Length", "1000000")
    answer.end_headers()
    while not answer.asked_of.released.wait(0.05):
        answer.wfile.write(b" ")
    answer.close_connection = True


def slow(seconds: float) -> Fault:
    def fault(answer: Answer, texts: list[str]) -> None:
        answer.asked_of.released.wait(seconds)
        answer.json(whole(texts))

    return fault


@contextmanager
def a_provider() -> Iterator[Provider]:
    """Up for as long as the block lasts."""
    provider = Provider()
    thread = Thread(target=provider.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        provider.released.set()
        with suppress(OSError):
            provider.server.shutdown()
            provider.server.server_close()
        thread.join(5)
