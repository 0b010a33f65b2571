"""What a local instance keeps of its syncing, when something happens to its files."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from tests.builders import NOW

from hopper.adapters.markdown.teaching_state import FileTeachingState
from hopper.domain.errors import Unavailable
from hopper.ports.teaching import Outbox, Teacher, TeachingState
from hopper.sync.teaching import Ledger

TEACHER = Teacher(server="http://127.0.0.1:8000", source_instance_id="laptop", token="hps_x")

READ: dict[str, Callable[[TeachingState], object]] = {
    "teacher": lambda state: state.teacher(),
    "ledger": lambda state: state.ledger(),
    "outbox": lambda state: state.outbox(),
    "pack": lambda state: state.pack(),
}


@pytest.fixture
def state(tmp_path: Path) -> FileTeachingState:
    return FileTeachingState(tmp_path)


def test_all_of_it_comes_back(state: FileTeachingState) -> None:
    """A push that was begun would be sent with another content after the next start."""
    state.keep_teacher(TEACHER)
    state.keep_ledger(ledger := Ledger(sequence=2, numbered=3, episodes=frozenset("ab"), pushed_at=NOW))
    state.keep_outbox(outbox := Outbox((b'{"tags":["\xc3\xa4"]}',), "settings"))
    state.keep_pack({"patterns": []}, NOW)
    assert (state.teacher(), state.ledger(), state.outbox()) == (TEACHER, ledger, outbox)
    assert (state.pack(), state.pulled_at()) == ({"patterns": []}, NOW)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize(
    "content", ["{", "[]", '{"bodies": 1}', "[" * 100_000], ids=["broken", "list", "other", "deep"]
)
def test_damaged_files_are_named(name: str, content: str, state: FileTeachingState, tmp_path: Path) -> None:
    """After a crash of the machine there would be a traceback instead of what to do."""
    state.keep_teacher(TEACHER)
    (tmp_path / ".state" / "sync" / f"{name}.json").write_text(content)
    with pytest.raises(Unavailable, match=rf"{name}\.json is damaged"):
        READ[name](state)


def test_two_commands_write_the_same_at_once(state: FileTeachingState) -> None:
    """One of them would find its unfinished file gone, or put the other's half of one in place."""
    failed: list[Exception] = []

    def write() -> None:
        try:
            for _ in range(30):
                state.keep_teacher(TEACHER)
                assert state.teacher() == TEACHER
        except Exception as error:
            failed.append(error)

    both = [Thread(target=write) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert failed == []
