"""Releases from a folder: the same files, and nothing on a stick is trusted."""

import os
from pathlib import Path

import pytest

from agent.boxes import Inbox
from agent.errors import Refused, Stop
from agent.exchange.stick import bring_repository
from agent.files import sha256_bytes
from agent.wire.repository import CHANNELS, RepositoryFiles, verify_repository
from tests.kit.consortium import START
from tests.kit.releases import Releases, reference

MANIFEST, WEIGHTS = b"manifest", bytes(range(256)) * 8192


class Stick:
    """What an export wrote, and the inbox of a silo."""

    def __init__(self, root: Path) -> None:
        self.releases = Releases(START)
        files = {"manifest.json": reference(MANIFEST), "weights.safetensors": reference(WEIGHTS)}
        self.releases.list("r1", 1, files)
        self.folder = root / "stick"
        self.targets = self.folder / "targets" / "releases" / "r1"
        self.targets.mkdir(parents=True)
        self.manifest = self.targets / f"{sha256_bytes(MANIFEST)}.manifest.json"
        self.weights = self.targets / f"{sha256_bytes(WEIGHTS)}.weights.safetensors"
        self.manifest.write_bytes(MANIFEST)
        self.weights.write_bytes(WEIGHTS)
        self.metadata = self.folder / "metadata"
        self.metadata.mkdir()
        self.write_metadata()
        self.inbox = Inbox(root / "inbox")
        (root / "inbox" / "objects").mkdir(parents=True)

    def write_metadata(self) -> None:
        self.releases.state()
        for role in ("targets", "snapshot", *CHANNELS):
            name = f"{self.releases.versions[role]}.{role}.json"
            (self.metadata / name).write_bytes(self.releases.files[role])
        for number, root in enumerate(self.releases.roots, 1):
            (self.metadata / f"{number}.root.json").write_bytes(root)
        (self.metadata / "timestamp.json").write_bytes(self.releases.files["timestamp"])

    def bring(self) -> int:
        return bring_repository(self.folder, self.inbox, "stable")

    def code(self) -> str:
        with pytest.raises(Refused) as caught:
            self.bring()
        assert list(self.inbox.letters()) == []
        return caught.value.code

    def objects(self) -> set[str]:
        return {path.name for path in self.inbox.object_path("x").parent.iterdir()}


@pytest.fixture
def stick(tmp_path: Path) -> Stick:
    return Stick(tmp_path)


def test_a_whole_export_comes_in_as_the_courier_would_bring_it(stick: Stick) -> None:
    assert stick.bring() == 2
    (letter,) = stick.inbox.letters()
    assert letter.kind == "stable"
    files = RepositoryFiles.parse(letter.content)
    pinned = stick.releases.root_sha256
    found = verify_repository(files, pinned, "stable", START, lambda _: 0)
    assert [offer.release_id for offer in found.offers] == ["r1"]
    assert stick.objects() == {sha256_bytes(MANIFEST), sha256_bytes(WEIGHTS)}
    assert stick.inbox.object_path(sha256_bytes(WEIGHTS)).read_bytes() == WEIGHTS


def test_brought_twice_it_is_the_same(stick: Stick) -> None:
    stick.bring()
    final = stick.inbox.object_path(sha256_bytes(WEIGHTS))
    os.utime(final, (1, 1))
    stick.bring()
    assert len(list(stick.inbox.letters())) == 1
    assert final.stat().st_mtime > 1  # the keeper prunes by age


def test_the_newest_files_of_several_count(stick: Stick) -> None:
    stick.releases.sign_root()
    stick.write_metadata()
    (stick.metadata / "notes.txt").write_text("hello")
    stick.bring()
    (letter,) = stick.inbox.letters()
    files = RepositoryFiles.parse(letter.content)
    assert len(files.roots) == 2
    verify_repository(files, stick.releases.root_sha256, "stable", START, lambda _: 0)


@pytest.mark.parametrize("damage", ["altered", "truncated", "overlong", "endless", "missing"])
def test_a_damaged_target_is_refused(stick: Stick, damage: str) -> None:
    if damage == "altered":
        stick.weights.write_bytes(bytes([*WEIGHTS[:-1], 0]))
    elif damage == "truncated":
        stick.weights.write_bytes(WEIGHTS[:-1])
    elif damage == "overlong":
        stick.weights.write_bytes(WEIGHTS + b"\0")
    elif damage == "endless":
        os.truncate(stick.weights, 1 << 40)
    else:
        stick.weights.unlink()
    assert stick.code() == "wrong_object"
    assert stick.objects() == {sha256_bytes(MANIFEST)}


@pytest.mark.parametrize("what", ["target", "metadata"])
def test_a_link_is_not_followed(stick: Stick, tmp_path: Path, what: str) -> None:
    """A stick could name a file of this host, and the courier would bring it in."""
    path = stick.weights if what == "target" else stick.metadata / "timestamp.json"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)
    if what == "metadata":
        assert stick.code() == "no_repository"
    else:
        with pytest.raises(Stop):
            stick.bring()


def test_a_target_larger_than_any_is_not_copied(
    stick: Stick, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.exchange.stick._MAX_OBJECT_BYTES", len(WEIGHTS) - 1)
    assert stick.code() == "wrong_object"


@pytest.mark.parametrize("name", ["1.root.json", "timestamp.json", "1.snapshot.json"])
def test_a_part_of_a_repository_is_none(stick: Stick, name: str) -> None:
    (stick.metadata / name).unlink()
    assert stick.code() == "no_repository"


def test_a_folder_of_something_else_is_none(stick: Stick, tmp_path: Path) -> None:
    stick.folder = tmp_path
    assert stick.code() == "no_repository"


def test_metadata_that_nobody_can_read_is_refused(stick: Stick) -> None:
    (stick.metadata / "1.stable.json").write_bytes(b"\xff\xfe")
    assert stick.code() == "not_json"


def test_a_full_disk_leaves_nothing_at_the_final_path(stick: Stick) -> None:
    """/dev/full takes the place of the disk: every write to it fails with ENOSPC."""
    partial = stick.inbox.partial_path(sha256_bytes(WEIGHTS))
    partial.symlink_to("/dev/full")
    with pytest.raises(Stop, match="No space left on device"):
        stick.bring()
    assert stick.objects() == {sha256_bytes(MANIFEST)}
    assert list(stick.inbox.letters()) == []
    stick.bring()  # somebody has made room
    assert len(list(stick.inbox.letters())) == 1


def test_an_inbox_that_cannot_be_written_is_said(stick: Stick, tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "nowhere")
    stick.releases.listed["stable"].clear()
    stick.write_metadata()
    with pytest.raises(Stop, match="Cannot copy into the inbox"):
        bring_repository(stick.folder, inbox, "stable")
