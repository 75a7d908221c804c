"""The folders between keeper and courier, killed at any step."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from agent.boxes import Inbox, Outbox, read_object
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire import strict_json

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


KEPT, OLD, NEW, COMING, FORGOTTEN = (digit * 64 for digit in "abcde")
LATER = datetime.fromtimestamp(2000, UTC)


def _old(path: Path, content: bytes = b"x") -> Path:
    path.write_bytes(content)
    os.utime(path, (1000, 1000))
    return path


def test_pruning_keeps_what_is_named_or_new(inbox: Inbox) -> None:
    inbox.object_path(NEW).write_bytes(b"x")
    inbox.partial_path(COMING).write_bytes(b"x")
    for path in (*map(inbox.object_path, (OLD, KEPT)), inbox.partial_path(FORGOTTEN)):
        _old(path)
    inbox.prune_objects(frozenset({KEPT}), before=LATER)
    assert not inbox.object_path(OLD).exists()
    assert not inbox.partial_path(FORGOTTEN).exists()
    assert inbox.object_path(NEW).exists()
    assert inbox.object_path(KEPT).exists()
    assert inbox.partial_path(COMING).exists()


def test_pruning_touches_only_what_is_named_like_an_object(inbox: Inbox, tmp_path: Path) -> None:
    strange = _old(tmp_path / "objects" / "sign.key")
    (tmp_path / "objects" / OLD).mkdir()
    inbox.prune_objects(frozenset(), before=LATER)
    assert strange.exists()
    assert (tmp_path / "objects" / OLD).is_dir()


def test_pruning_never_leaves_the_inbox(inbox: Inbox, tmp_path: Path) -> None:
    """The courier owns the inbox: it may put a link to the keys where the objects were."""
    keys = tmp_path / "keys"
    keys.mkdir()
    precious = [_old(keys / name) for name in ("sign.key", OLD, f".{OLD}.part")]
    (tmp_path / "objects").rmdir()
    (tmp_path / "objects").symlink_to(keys)
    inbox.prune_objects(frozenset(), before=LATER)
    assert all(path.exists() for path in precious)


def test_a_linked_object_is_removed_and_not_what_it_names(inbox: Inbox, tmp_path: Path) -> None:
    key = _old(tmp_path / "sign.key")
    link = inbox.object_path(OLD)
    link.symlink_to(key)
    os.utime(link, (1000, 1000), follow_symlinks=False)
    inbox.prune_objects(frozenset(), before=LATER)
    assert not link.is_symlink()
    assert key.exists()


def _letter(kind: str = "plan") -> str:
    return f"1-000000001-{kind}-{'a' * 16}"


def test_a_link_or_a_pipe_is_no_letter(inbox: Inbox, tmp_path: Path) -> None:
    key = _old(tmp_path / "sign.key")
    (tmp_path / _letter()).symlink_to(key)
    os.mkfifo(tmp_path / _letter("round"))
    (tmp_path / _letter("roster")).mkdir()
    assert list(inbox.letters()) == []


def test_a_letter_that_is_too_long_is_cut_so_that_it_is_refused(
    inbox: Inbox, tmp_path: Path
) -> None:
    with (tmp_path / _letter()).open("wb") as handle:
        handle.truncate(1 << 40)  # a file of holes: it takes no room
    (letter,) = inbox.letters()
    with pytest.raises(Refused, match="too_large"):
        strict_json.loads(letter.content)


CONTENT = b"weights"
SHA256 = sha256_bytes(CONTENT)


def test_an_object_is_read_whole(inbox: Inbox) -> None:
    inbox.object_path(SHA256).write_bytes(CONTENT)
    assert read_object(inbox.object_path(SHA256), SHA256, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("content", [b"weightz", b"weight", b"weights and more", b""])
def test_an_object_with_other_bytes_is_refused(inbox: Inbox, content: bytes) -> None:
    inbox.object_path(SHA256).write_bytes(content)
    with pytest.raises(Refused, match="wrong_object"):
        read_object(inbox.object_path(SHA256), SHA256, len(CONTENT))


@pytest.mark.parametrize("what", ["file", "folder", "pipe", "missing"])
def test_an_object_is_never_read_elsewhere(inbox: Inbox, tmp_path: Path, what: str) -> None:
    elsewhere = tmp_path / "keys"
    elsewhere.mkdir()
    (elsewhere / SHA256).write_bytes(CONTENT)
    path = inbox.object_path(SHA256)
    match what:
        case "file":
            path.symlink_to(elsewhere / SHA256)
        case "folder":
            path.parent.rmdir()
            path.parent.symlink_to(elsewhere)
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(Refused, match="cannot be read from the inbox"):
        read_object(path, SHA256, len(CONTENT))


def test_an_envelope_is_withheld_and_posted_again(outbox: Outbox, tmp_path: Path) -> None:
    outbox.stage(_write)
    assert outbox.staged_header(_ID) == b"header"
    outbox.withhold(_ID)
    assert outbox.parcels() == []
    outbox.post(_ID)
    for _ in range(2):
        outbox.withhold(_ID)
        assert outbox.parcels() == []
    assert outbox.staged(_ID) == (len(b"headerblob"), sha256_bytes(b"blob"))
    outbox.post(_ID)
    assert [path.name for path in tmp_path.iterdir()] == [_ID]
