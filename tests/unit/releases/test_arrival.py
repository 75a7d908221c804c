"""A release as files: what is altered, cut, longer or endless is refused, and read no further."""

import os
from pathlib import Path

import pytest

from agent.boxes import Inbox
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.releases.arrival import verify_release
from agent.wire.documents import ReleaseManifest
from agent.wire.trusted import Trusted
from tests.kit.consortium import Consortium


class Silo:
    """Files in an inbox, and a trust that knows the plan."""

    def __init__(self, root: Path) -> None:
        self.consortium = Consortium()
        self.inbox = Inbox(root)
        (root / "objects").mkdir()
        self.letter, manifest = self.consortium.release(1)
        self.manifest = self.put(manifest)
        self.weights = self.put(self.consortium.base)
        self.now = self.consortium.now
        self.trusted = Trusted(self.consortium.root, self.consortium.root_sha256, self.now)
        self.trusted.take_catalogue(self.consortium.signed_catalogue())
        self.trusted.take_plan(self.consortium.plan(), self.now)

    def put(self, content: bytes) -> Path:
        path = self.inbox.object_path(sha256_bytes(content))
        path.write_bytes(content)
        return path

    def verify(self) -> ReleaseManifest:
        return verify_release(
            self.letter, "stable", self.trusted, self.inbox.object_path, self.now, lambda _: 0
        )

    def code(self) -> str:
        with pytest.raises(Refused) as caught:
            self.verify()
        return caught.value.code


@pytest.fixture
def silo(tmp_path: Path) -> Silo:
    return Silo(tmp_path)


def test_a_whole_release_is_believed(silo: Silo) -> None:
    assert silo.verify() == silo.consortium.release_document(1)


@pytest.mark.parametrize("which", ["manifest", "weights"])
@pytest.mark.parametrize("damage", ["altered", "truncated", "overlong", "missing", "linked"])
def test_a_damaged_target_is_refused(silo: Silo, tmp_path: Path, which: str, damage: str) -> None:
    path: Path = getattr(silo, which)
    content = path.read_bytes()
    changed = {
        "altered": bytes([*content[:-1], content[-1] ^ 1]),
        "truncated": content[:-1],
        "overlong": content + b"\0",
    }
    path.unlink()
    if damage == "linked":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    elif damage != "missing":
        path.write_bytes(changed[damage])
    assert silo.code() == "wrong_object"


@pytest.mark.parametrize("which", ["manifest", "weights"])
def test_an_endless_target_is_read_no_further_than_it_may_be_long(silo: Silo, which: str) -> None:
    path: Path = getattr(silo, which)
    os.truncate(path, 1 << 40)  # a hole: nothing on the disk, and hours to read
    assert silo.code() == "wrong_object"
    path.unlink()
    os.mkfifo(path)
    assert silo.code() == "wrong_object"


def test_a_channel_without_a_release_is_said(silo: Silo) -> None:
    silo.consortium.repository.listed["stable"].clear()
    silo.letter = silo.consortium.repository.state().to_bytes()
    assert silo.code() == "no_release"


def test_a_release_that_is_not_newer_is_refused(silo: Silo) -> None:
    with pytest.raises(Refused, match="rolled_back"):
        verify_release(
            silo.letter,
            "stable",
            silo.trusted,
            silo.inbox.object_path,
            silo.now,
            lambda name: int(name == "release"),
        )
