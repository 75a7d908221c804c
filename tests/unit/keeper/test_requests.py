import os
import pwd
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.keeper.requests import Request, ask, new_request, take_all
from tests.kit.consortium import START

ME = pwd.getpwuid(os.getuid()).pw_name


def _taken(folder: Path) -> list[tuple[Request, str]]:
    found: list[tuple[Request, str]] = []
    take_all(folder, lambda request, by: found.append((request, by)))
    assert list(folder.iterdir()) == []
    return found


def test_requests_are_taken_in_the_order_of_asking(tmp_path: Path) -> None:
    second = new_request("approve", "ab" * 32, "Kim", START.replace(hour=13))
    first = new_request("root", "", "", START)
    for request in (second, first):
        assert ask(tmp_path, request).exists()
    assert _taken(tmp_path) == [(first, ME), (second, f"Kim ({ME})")]
    assert _taken(tmp_path) == []


def test_what_cannot_be_done_or_read_does_not_stay(tmp_path: Path) -> None:
    ask(tmp_path, new_request("root", "", "", START))
    (tmp_path / "a.json").write_bytes(b"{")
    (tmp_path / "b.json").write_bytes(b'{"action":"format"}')
    (tmp_path / "c.json").symlink_to(tmp_path / "nothing")
    done = []

    def do(request: Request, by: str) -> None:
        done.append((request.action, by))
        raise Refused("no", "No.")

    take_all(tmp_path, do)
    assert done == [("root", ME)]
    assert list(tmp_path.iterdir()) == []


def test_an_account_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("agent.keeper.requests.pwd.getpwuid", unknown)
    ask(tmp_path, new_request("root", "", "", START))
    assert _taken(tmp_path)[0][1] == f"uid {os.getuid()}"
