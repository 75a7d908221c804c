"""Log lines: structured, and never a traceback's text that might quote a row of data."""

import io
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from agent import log


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def _line(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[logging.Logger], None], *, tty: bool
) -> str:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: tty)
    monkeypatch.setattr(sys, "stderr", stream)
    log.setup()
    write(logging.getLogger("agent.keeper.jobs"))
    return stream.getvalue()


def test_an_event_is_one_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _line(monkeypatch, lambda to: log.event(to, "job started", job="x", tries=1), tty=False)
    line = json.loads(text)
    assert (line["event"], line["job"], line["tries"]) == ("job started", "x", 1)
    assert line["level"] == "info"
    assert text.count("\n") == 1


def test_at_a_terminal_it_is_a_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = _line(monkeypatch, lambda to: log.trouble(to, "job failed", job="x"), tty=True)
    assert text.endswith("W keeper.jobs: job failed job=x\n")


@pytest.mark.parametrize("tty", [True, False])
def test_an_exception_leaves_its_place_and_not_its_text(
    monkeypatch: pytest.MonkeyPatch, tty: bool
) -> None:
    def fail(to: logging.Logger) -> None:
        try:
            raise ValueError("CCO is secret")
        except ValueError:
            to.exception("row failed")

    text = _line(monkeypatch, fail, tty=tty)
    assert "secret" not in text
    assert "test_log.py:" in text


def test_signals_change_how_much_is_logged() -> None:
    numbers = (signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        log.follow_signals()
        signal.raise_signal(signal.SIGUSR1)
        assert logging.getLogger().level == logging.DEBUG
        signal.raise_signal(signal.SIGUSR2)
        assert logging.getLogger().level == logging.INFO
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
