"""A carried folder: whatever lies in it, nothing outside is read or written, and names are safe."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import Refused, TryLater
from agent.stick import Stick, copy_bytes, sha256_of

_ANY = re.compile(r"[a-z]+")
_PLACE = ("up", "silo-a")
_KILLED = """
import os, sys
from pathlib import Path
from agent.stick import Stick

def killed(sink):
    sink.write(b"half of a blob")
    sink.flush()
    os._exit(9)

Stick(Path(sys.argv[1])).put(("up", "silo-a"), "blob", killed)
"""


@pytest.fixture
def stick(tmp_path: Path) -> Stick:
    (tmp_path / "stick").mkdir()
    return Stick(tmp_path / "stick")


def _folder(tmp_path: Path) -> Path:
    return tmp_path / "stick" / "up" / "silo-a"


def _code(stick: Stick, name: str, limit: int = 100) -> str:
    with pytest.raises(Refused) as caught:
        stick.read(_PLACE, name, limit)
    return caught.value.code


def test_what_is_written_is_read_again(stick: Stick, tmp_path: Path) -> None:
    stick.write(_PLACE, "a", b"content")
    assert stick.read(_PLACE, "a", 7) == b"content"
    assert stick.size(_PLACE, "a") == 7
    assert stick.size(_PLACE, "b") is None
    assert [path.name for path in _folder(tmp_path).iterdir()] == ["a"]


def test_the_same_content_is_not_written_twice(stick: Stick, tmp_path: Path) -> None:
    stick.write(_PLACE, "a", b"content")
    before = (_folder(tmp_path) / "a").stat().st_ino
    stick.write(_PLACE, "a", b"content")
    assert (_folder(tmp_path) / "a").stat().st_ino == before
    stick.write(_PLACE, "a", b"other")
    assert stick.read(_PLACE, "a", 7) == b"other"


def test_a_writing_that_breaks_off_leaves_nothing(stick: Stick, tmp_path: Path) -> None:
    def half(sink: object) -> None:
        sink.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    with pytest.raises(TryLater, match="No space left"):
        stick.put(_PLACE, "a", half)
    assert list(_folder(tmp_path).iterdir()) == []


@pytest.mark.parametrize("next_step", ["put", "keep_only"])
def test_what_a_kill_left_half_written_goes_with_the_next_carrying(
    stick: Stick, tmp_path: Path, next_step: str
) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "stick")]
    assert subprocess.run(command, check=False).returncode == 9
    (left,) = _folder(tmp_path).iterdir()
    assert left.stat().st_size
    (_folder(tmp_path) / ".someone-else.tmp").touch()

    def fill(sink: object) -> None:
        assert not left.exists()  # the room is there before it is needed

    if next_step == "put":
        stick.put(_PLACE, "a", fill)
    else:
        stick.keep_only(_PLACE, _ANY, frozenset())
    names = {path.name for path in _folder(tmp_path).iterdir()}
    assert names - {"a"} == {".someone-else.tmp"}


def test_a_link_is_neither_read_nor_written_through(stick: Stick, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    stick.write(_PLACE, "a", b"content")
    (_folder(tmp_path) / "link").symlink_to(secret)
    assert _code(stick, "link") == "strange_file"
    stick.write(_PLACE, "link", b"content")
    assert secret.read_bytes() == b"secret"
    assert not (_folder(tmp_path) / "link").is_symlink()


def test_a_linked_folder_is_neither_read_nor_written_through(stick: Stick, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "silo-a").mkdir(parents=True)
    (tmp_path / "elsewhere" / "silo-a" / "a").write_bytes(b"secret")
    (tmp_path / "stick" / "up").symlink_to(tmp_path / "elsewhere")
    assert _code(stick, "a") == "strange_file"
    assert stick.names(_PLACE, _ANY) == []
    assert "no folder" in stick.asides[0].reason
    with pytest.raises(TryLater):
        stick.write(_PLACE, "b", b"content")
    stick.keep_only(_PLACE, _ANY, frozenset())
    stick.damaged(_PLACE, "a", "It is.")
    assert [path.name for path in (tmp_path / "elsewhere" / "silo-a").iterdir()] == ["a"]


def test_a_pipe_holds_nobody_up(stick: Stick, tmp_path: Path) -> None:
    stick.write(_PLACE, "a", b"content")
    os.mkfifo(_folder(tmp_path) / "pipe")
    (_folder(tmp_path) / "folder").mkdir()
    assert _code(stick, "pipe") == "strange_file"
    assert _code(stick, "folder") == "strange_file"


def test_a_file_that_is_too_long_is_not_read_to_its_end(stick: Stick) -> None:
    stick.write(_PLACE, "a", b"content")
    assert _code(stick, "a", 6) == "too_large"


def test_names_that_do_not_fit_are_set_aside_once_and_safe_to_print(
    stick: Stick, tmp_path: Path
) -> None:
    for name in ("good", "Foreign.docx", "x\x1b[31m\n", ".hidden", "old.damaged"):
        stick.write(_PLACE, name, b"x")
    assert stick.names(_PLACE, _ANY) == ["good"]
    assert stick.names(_PLACE, _ANY) == ["good"]
    assert [aside.name for aside in stick.asides] == ["up/silo-a/Foreign.docx", "up/silo-a/x?[31m?"]
    assert stick.names(("down",), _ANY) == []


def test_a_damaged_file_makes_room_for_a_good_one(stick: Stick, tmp_path: Path) -> None:
    stick.write(_PLACE, "a", b"damaged")
    stick.damaged(_PLACE, "a", "Its bytes are wrong.")
    assert stick.size(_PLACE, "a") is None
    assert (_folder(tmp_path) / "a.damaged").read_bytes() == b"damaged"
    assert stick.asides[0].reason == "Its bytes are wrong."


def test_only_what_fits_and_is_not_kept_is_removed(stick: Stick, tmp_path: Path) -> None:
    for name in ("keep", "go", "2"):
        stick.write(_PLACE, name, b"x")
    (_folder(tmp_path) / "folder").mkdir()
    (_folder(tmp_path) / "link").symlink_to(tmp_path)
    stick.keep_only(_PLACE, _ANY, frozenset({"keep"}))
    assert sorted(path.name for path in _folder(tmp_path).iterdir()) == ["2", "folder", "keep"]
    assert tmp_path.is_dir()


def test_a_stick_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    stick = Stick(tmp_path / "nowhere")
    for step in (
        lambda: stick.names(_PLACE, _ANY),
        lambda: stick.read(_PLACE, "a", 1),
        lambda: stick.write(_PLACE, "a", b"x"),
    ):
        with pytest.raises(TryLater, match="plug the stick in"):
            step()
    stick.keep_only(_PLACE, _ANY, frozenset())


def test_a_stick_that_is_pulled_while_it_is_read_is_said_so(stick: Stick) -> None:
    stick.write(_PLACE, "a", b"content")

    def pulled() -> None:
        with stick.opened(_PLACE, "a"):
            raise OSError(5, "Input/output error")

    with pytest.raises(TryLater, match="carry again"):
        pulled()


def test_files_are_hashed_and_copied_in_pieces(stick: Stick, tmp_path: Path) -> None:
    stick.put(_PLACE, "a", lambda sink: sink.write(bytes((1 << 20) + 1)))
    with (
        stick.opened(_PLACE, "a") as source,
        (tmp_path / "copy").open("w+b") as sink,
    ):
        assert copy_bytes(source, sink) == (1 << 20) + 1
        source.seek(0)
        sink.seek(0)
        assert sha256_of(source) == sha256_of(sink)
