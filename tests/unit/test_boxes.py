"""The folders between keeper and courier, killed at any step."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from agent.boxes import Inbox, Outbox
from agent.files import sha256_bytes

_ID = sha256_bytes(b"header")


def _write(sink: BinaryIO) -> bytes:
    sink.write(b"blob")
    return b"header"


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    (tmp_path / "objects").mkdir()
    return Inbox(tmp_path)


def test_a_staged_envelope_is_hidden_until_it_is_posted(outbox: Outbox) -> None:
    assert outbox.stage(_write) == _ID
    assert outbox.parcels() == []
    outbox.post(_ID)
    outbox.post(_ID)
    (parcel,) = outbox.parcels()
    assert parcel.envelope_id == _ID
    assert parcel.header_path.read_bytes() == b"header"
    assert parcel.blob_path.read_bytes() == b"blob"


def test_a_staged_envelope_tells_its_size_and_its_blobs_hash(outbox: Outbox) -> None:
    assert outbox.staged(outbox.stage(_write)) == (len(b"headerblob"), sha256_bytes(b"blob"))


def test_staging_again_after_a_kill_is_the_same(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / ".draft").mkdir()
    (tmp_path / ".draft" / "blob").write_bytes(b"half")
    assert outbox.stage(_write) == outbox.stage(_write) == _ID
    outbox.post(_ID)
    outbox.stage(_write)
    outbox.post(_ID)
    assert [parcel.envelope_id for parcel in outbox.parcels()] == [_ID]


def test_what_no_transaction_booked_is_discarded(outbox: Outbox, tmp_path: Path) -> None:
    outbox.stage(_write)
    outbox.discard_staged(frozenset({_ID}))
    (tmp_path / ".gone-x").mkdir()
    outbox.discard_staged(frozenset())
    assert list(tmp_path.iterdir()) == []
    outbox.post(_ID)
    assert outbox.parcels() == []


def test_a_removed_envelope_is_gone_even_after_a_kill_in_between(
    outbox: Outbox, tmp_path: Path
) -> None:
    (tmp_path / f".gone-{_ID}").mkdir()
    (tmp_path / f".gone-{_ID}" / "blob").write_bytes(b"left by a kill")
    outbox.stage(_write)
    outbox.post(_ID)
    outbox.remove(_ID)
    outbox.remove(_ID)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_envelope_are_no_parcels(outbox: Outbox, tmp_path: Path) -> None:
    (tmp_path / "README").write_text("")
    (tmp_path / ".hidden").mkdir()
    assert outbox.parcels() == []


def test_letters_come_in_order_the_feed_first(inbox: Inbox) -> None:
    inbox.put_answer(_ID, "receipt", b"r")
    inbox.put_answer(_ID, "delivered", b"d")
    inbox.put_published(10, "plan", b"ten")
    inbox.put_published(9, "catalogue", b"nine")
    inbox.put_published(9, "catalogue", b"nine")
    assert [(letter.kind, letter.content) for letter in inbox.letters()] == [
        ("catalogue", b"nine"),
        ("plan", b"ten"),
        ("delivered", b"d"),
        ("receipt", b"r"),
    ]


def test_a_letter_that_is_done_is_gone(inbox: Inbox) -> None:
    inbox.put_published(1, "plan", b"x")
    (letter,) = inbox.letters()
    inbox.done(letter.name)
    inbox.done(letter.name)
    assert list(inbox.letters()) == []


@pytest.mark.parametrize("name", [".1-000000001-plan-ab.77.tmp", "3-1-plan-ab", "1-plan", "note"])
def test_other_files_are_no_letters(inbox: Inbox, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert list(inbox.letters()) == []


def test_pruning_keeps_what_is_named_or_new(inbox: Inbox) -> None:
    for name in ("kept", "old", "new"):
        inbox.object_path(name).write_bytes(b"x")
    inbox.partial_path("coming").write_bytes(b"x")
    inbox.partial_path("forgotten").write_bytes(b"x")
    for path in (*map(inbox.object_path, ("old", "kept")), inbox.partial_path("forgotten")):
        os.utime(path, (1000, 1000))
    inbox.prune_objects(frozenset({"kept"}), before=datetime.fromtimestamp(2000, UTC))
    assert not inbox.object_path("old").exists()
    assert not inbox.partial_path("forgotten").exists()
    assert inbox.object_path("new").exists()
    assert inbox.object_path("kept").exists()
    assert inbox.partial_path("coming").exists()
