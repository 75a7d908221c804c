from pathlib import Path

import pytest

from agent.releases.attempts import FILE, MAX_ATTEMPTS, Account, Attempts


def test_an_attempt_is_on_disk_before_it_begins(tmp_path: Path) -> None:
    Attempts(tmp_path).begin("r1")
    assert Attempts(tmp_path).account("r1") == Account(begun=1, trying=True)


def test_three_attempts_without_success_are_enough(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for number in range(MAX_ATTEMPTS):
        assert attempts.exhausted("r1") is False, number
        attempts.begin("r1")
    assert not attempts.exhausted("r1")  # the last may succeed yet
    attempts.settle()
    assert attempts.exhausted("r1")
    assert not attempts.exhausted("r2")


def test_an_attempt_that_failed_is_over(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for _ in range(MAX_ATTEMPTS):
        attempts.begin("r1")
        attempts.failed("r1", "It is bad.")
    assert attempts.exhausted("r1")
    attempts.settle()
    assert attempts.account("r1") == Account(MAX_ATTEMPTS, reason="It is bad.")


def test_a_success_starts_the_count_anew(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.begin("r1")
    attempts.failed("r1", "The graph is bad.")
    assert attempts.account("r1") == Account(1, loaded=False, reason="The graph is bad.")
    attempts.begin("r1")
    attempts.succeeded("r1")
    assert attempts.account("r1") == Account(0, loaded=True)


def test_the_fallback_is_the_newest_good_release_that_may_be_tried(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    assert attempts.fallback("r3") is None
    for name in ("r1", "r2", "r1", "r2"):
        attempts.begin(name)
        attempts.succeeded(name)
    attempts.begin("r3")
    assert attempts.fallback("r3") == "r2"
    assert attempts.fallback("r2") == "r1"
    for _ in range(MAX_ATTEMPTS):
        attempts.begin("r2")
    assert attempts.account("r2").loaded
    assert attempts.fallback("r3") == "r1"


def test_only_so_many_good_releases_are_remembered(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for number in range(20):
        attempts.succeeded(f"r{number}")
    assert (tmp_path / FILE).stat().st_size < 4096
    assert attempts.fallback("r19") == "r18"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 64,
        b"[]",
        b'{"releases": [], "good": {}}',
        b'{"releases": {"r1": {"begun": "3"}}}',
    ],
)
def test_a_damaged_account_counts_nothing_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    attempts = Attempts(tmp_path)
    assert attempts.account("r1") == Account()
    attempts.begin("r1")
    assert attempts.account("r1").begun == 1


def test_an_attempt_that_this_process_ended_is_taken_back(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    attempts.begin("r1")
    attempts.begin("r1")
    attempts.called_off("r1")
    assert attempts.account("r1").begun == 1
    for _ in range(2):
        attempts.called_off("r1")
    assert attempts.account("r1").begun == 0


def test_a_release_that_was_given_up_is_neither_tried_nor_fallen_back_to(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path)
    for name in ("r1", "r2"):
        attempts.begin(name)
        attempts.succeeded(name)
    attempts.give_up("r2", "It failed.")
    assert attempts.exhausted("r2")
    assert attempts.account("r2") == Account(loaded=True, reason="It failed.", unfit=True)
    assert attempts.fallback(besides="r3") == "r1"
    attempts.succeeded("r2")
    assert not attempts.exhausted("r2")
    assert attempts.fallback(besides="r3") == "r2"
