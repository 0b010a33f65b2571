"""The Dockerfile carried out without Docker: its own instructions, with the image's paths in a directory.

A Python environment at the image's /usr/local and the machine's own programs stand for the base image. What this can't
show is whether the base image is what its name says.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]

_PATH = re.compile(r"(?<![\w/.])/(?=(?:build|opt|root|var/lib)\b)")
"""Where a path of the image's own begins; others are the machine's."""

_REGISTRY = ("PIP_", "UV_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""How this machine reaches the package index, which is a builder's business; nothing of it is there at run time."""


@dataclass(frozen=True)
class Instruction:
    """One of the Dockerfile's: its word, its --flags, and the rest of it."""

    word: str
    flags: list[str]
    rest: str

    @property
    def arguments(self) -> list[str]:
        """The exec form's, which no shell reads. A shell form raises."""
        arguments: list[str] = json.loads(self.rest)
        return arguments


def instructions(text: str) -> Iterator[Instruction]:
    """A Dockerfile's instructions, in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, *flags, rest = re.findall(r"^\S+|--\S+(?= )|(?<= )(?!--).+", re.sub(r" +", " ", line, count=1))
        yield Instruction(word, flags, rest)


@dataclass
class Image:
    """What a Dockerfile's last stage leaves, with its files below `root`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    working: str = "/"
    user: int = 0
    home: str = "/root"
    volumes: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    stop_signal: str = ""
    ports: list[str] = field(default_factory=list)

    def here(self, text: str) -> str:
        """The text with the image's paths as they are on this machine."""
        return _PATH.sub(f"{self.root}/", text)

    def place(self, path: str) -> Path:
        """Where a path of the image's, perhaps a relative one, is on this machine."""
        return self.root / os.path.normpath(f"{self.working}/{path}" if path[0] != "/" else path).lstrip("/")

    def launch(self, arguments: list[str], **environment: str) -> "subprocess.Popen[str]":
        """A process with the image's environment, and nothing else."""
        return subprocess.Popen(
            [self.here(argument) for argument in arguments],
            cwd=self.place(self.working),
            env={
                "HOME": str(self.place(self.home)),
                **{name: self.here(value) for name, value in self.environment.items()},
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def build(dockerfile: Path, root: Path) -> Image:
    """Carry a Dockerfile out below `root`; only the last stage's files are there at the end."""
    finished: dict[str, Path] = {}
    image, name = Image(root), ""
    for instruction in instructions(dockerfile.read_text()):
        if instruction.word == "FROM":
            if name:
                finished[name] = root.rename(root.with_name(f"{root.name}-{name}"))
            image, name = _based(root, pip=not finished), instruction.rest.partition(" AS ")[2]
        else:
            _carry_out(instruction, image, finished)
    return image


def _based(root: Path, *, pip: bool) -> Image:
    """The base image, whose pip only the first stage is given: making one takes seconds."""
    subprocess.run([sys.executable, "-m", "venv", *([] if pip else ["--without-pip"]), root / "usr/local"], check=True)
    for directory in ("opt", "root", "var/lib"):
        (root / directory).mkdir(parents=True)
    return Image(root, {"PATH": f"{root}/usr/local/bin:/usr/bin:/bin"})


def _carry_out(instruction: Instruction, image: Image, finished: dict[str, Path]) -> None:
    match instruction.word:
        case "ENV":
            for given in shlex.split(instruction.rest):
                name, value = given.split("=", 1)
                image.environment[name] = value.replace("$PATH", image.environment["PATH"])
        case "WORKDIR":
            image.working = instruction.rest
            image.place(".").mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(instruction, image, finished)
        case "RUN":
            _run(instruction, image)
        case "USER":
            image.user = int(instruction.rest)
        case "VOLUME":
            image.volumes.append(instruction.rest)
        case "EXPOSE":
            image.ports.append(instruction.rest)
        case "STOPSIGNAL":
            image.stop_signal = instruction.rest
        case "HEALTHCHECK":
            image.health = Instruction("CMD", [], instruction.rest.removeprefix("CMD ")).arguments
        case "CMD":
            image.command = instruction.arguments
        case _:
            raise AssertionError(f"{instruction.word} isn't known here")


def _copy(instruction: Instruction, image: Image, finished: dict[str, Path]) -> None:
    *sources, target = instruction.rest.split()
    stage = next((flag.partition("=")[2] for flag in instruction.flags), None)
    for source in sources:
        place = image.place(target)
        if stage:
            (finished[stage] / source.lstrip("/")).rename(place)  # nobody asks a stage twice
            continue
        assert source in context(), f".dockerignore keeps {source} out"
        if (CHECKOUT / source).is_dir():
            unseen = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CHECKOUT / source, place, symlinks=True, ignore=unseen)
        else:
            place = place / Path(source).name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / source, place)


def context() -> set[str]:
    """What .dockerignore lets a build see."""
    first, *rest = [
        line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert first == "*"
    return {line[1:] for line in rest if line.startswith("!")}


def _run(instruction: Instruction, image: Image) -> None:
    if instruction.rest.startswith("useradd "):  # no user is made on this machine
        words = shlex.split(instruction.rest)
        image.home = words[words.index("--home-dir") + 1]
        image.place(image.home).mkdir()
        return
    cache = image.place("/root/.cache")
    if not cache.exists():
        cache.symlink_to(Path.home() / ".cache")
    registry = {name: value for name, value in os.environ.items() if name.startswith(_REGISTRY)}
    done = subprocess.run(
        ["/bin/sh", "-c", image.here(instruction.rest)],
        cwd=image.place("."),
        env={**registry, **image.environment, "HOME": str(image.place("/root"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
