import os
import socket
from pathlib import Path

import pytest

from agent.doctor import walls


def test_a_process_that_can_make_sockets_is_told() -> None:
    found = walls.no_sockets()
    assert found.outcome == "failed"
    assert "AF_UNIX" in found.said


def _refuses(*_: object) -> socket.socket:
    raise OSError(97, "Address family not supported by protocol")


def test_without_a_socket_nothing_gets_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", _refuses)
    assert walls.no_sockets().outcome == "ok"
    found = walls.no_way_out()
    assert found.outcome == "ok"
    assert "Address family" in found.said


def test_a_ring_is_told_and_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another kernel may have none: dup(2) takes a number as well, and hands out a descriptor.
    monkeypatch.setattr(walls, "_RING_SETUP", {"x86_64": 32, "aarch64": 23}[os.uname().machine])
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert walls.no_ring().outcome == "failed"
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    monkeypatch.setattr(walls, "_RING_SETUP", -1)
    assert walls.no_ring().outcome == "ok"


def test_a_packet_that_gets_out_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(walls, "_OUTSIDE", nobody.getsockname())
        assert walls.no_way_out().outcome == "failed"
        assert nobody.recv(10) == b"\0"  # it was really sent


def test_what_is_there_and_open_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "sign.key"
    assert walls.unreadable("keys", [secret]).outcome == "ok"
    secret.write_bytes(b"secret")
    for path in (secret, tmp_path):
        found = walls.unreadable("keys", [path])
        assert found.outcome == "failed"
        assert str(path) in found.said
    assert walls.unreadable("stores", []).outcome == "not here"


def test_a_folder_that_can_be_written_is_named_and_left_as_it_was(tmp_path: Path) -> None:
    found = walls.unwritable("system", [tmp_path, tmp_path / "absent"])
    assert found.outcome == "failed"
    assert list(tmp_path.iterdir()) == []
    assert walls.unwritable("system", [Path("/proc/self")]).outcome == "ok"


def test_a_file_that_runs_is_a_failure_and_gone(tmp_path: Path) -> None:
    assert walls.nothing_runs_from(tmp_path).outcome == "failed"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A script whose interpreter is not there is refused by the kernel, as one on `noexec` is.
    monkeypatch.setattr(walls, "_SCRIPT", b"#!/absent/interpreter\n")
    assert walls.nothing_runs_from(tmp_path).outcome == "ok"
    assert walls.nothing_runs_from(tmp_path / "absent").outcome == "not here"
