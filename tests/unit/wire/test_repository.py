"""The attacks on the release channel, against the rules alone: each is refused by its name.

The rest of the attack table needs a ledger or a disk: `keeper/test_channel.py`,
`releases/test_arrival.py`, `exchange/test_stick.py`.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.dsse import SimpleEnvelope
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import MetaFile, TargetFile, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import new_signing
from agent.wire.documents import ObjectRef
from agent.wire.repository import (
    CHANNELS,
    MANIFEST,
    Channel,
    Repository,
    RepositoryFiles,
    newest_files,
    verify_repository,
)
from consortium import metadata
from consortium.metadata import Edition
from tests.kit.releases import Releases, reference

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STRANGER = new_signing("tuf-root")
FILES = {MANIFEST: reference(b"manifest"), "weights.safetensors": reference(b"weights")}


class Silo:
    """Floors that a test lets rise as a ledger would."""

    def __init__(self, releases: Releases, channel: Channel = "stable") -> None:
        self.releases = releases
        self.channel: Channel = channel
        self.floors: dict[str, int] = {}
        self.now = NOW

    def take(self, files: RepositoryFiles) -> Repository:
        pinned = self.releases.root_sha256
        found = verify_repository(
            files, pinned, self.channel, self.now, lambda name: self.floors.get(name, 0)
        )
        self.floors |= {k: max(v, self.floors.get(k, 0)) for k, v in found.floors.items()}
        return found

    def version(self, role: str) -> int:
        (found,) = [n for name, n in self.floors.items() if name.split()[1] == role]
        return found

    def code(self, files: RepositoryFiles) -> str:
        before = dict(self.floors)
        with pytest.raises(Refused) as caught:
            self.take(files)
        assert self.floors == before
        return caught.value.code


@pytest.fixture
def releases() -> Releases:
    made = Releases(NOW)
    made.list("r1", 1, FILES)
    return made


@pytest.fixture
def silo(releases: Releases) -> Silo:
    return Silo(releases)


def test_a_repository_that_is_what_it_should_be(releases: Releases, silo: Silo) -> None:
    files = RepositoryFiles.parse(releases.state().to_bytes())
    found = silo.take(files)
    (offer,) = found.offers
    assert (offer.release_id, offer.version, dict(offer.files)) == ("r1", 1, FILES)
    assert found.fresh_until == NOW + timedelta(days=30)
    assert sorted(name.split()[1] for name in found.floors) == [
        "root", "snapshot", "stable", "targets", "timestamp",
    ]  # fmt: skip
    assert silo.take(files) == found  # the same letter again is harmless


def test_releases_come_in_the_order_of_their_versions(releases: Releases, silo: Silo) -> None:
    releases.list("r10", 10, FILES)
    releases.list("r9", 9, FILES)
    assert [one.release_id for one in silo.take(releases.state()).offers] == ["r1", "r9", "r10"]


def test_an_old_repository_is_refused(releases: Releases, silo: Silo) -> None:
    old = releases.state()
    silo.take(releases.state())
    assert silo.code(old) == "rolled_back"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "stable"])
def test_each_role_has_a_floor_of_its_own(releases: Releases, silo: Silo, role: str) -> None:
    """An attacker who holds the online keys signs an old file of another role anew."""
    releases.state()
    old = releases.files[role]
    releases.sign_targets()
    silo.take(releases.state())
    releases.files[role] = old
    if role == "timestamp":
        assert silo.code(releases.gathered()) == "rolled_back"
    elif role == "snapshot":
        releases.sign_timestamp()
        assert silo.code(releases.gathered()) == "rolled_back"
    else:
        assert silo.code(releases.sealed()) == "rolled_back"


def test_expired_metadata_is_refused_as_a_freeze(releases: Releases, silo: Silo) -> None:
    files = releases.state()
    silo.now = NOW + timedelta(days=30)
    assert silo.code(files) == "expired"


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "stable"])
def test_each_role_expires(releases: Releases, silo: Silo, role: str) -> None:
    releases.days = 1
    if role == "root":
        releases.sign_root()
    elif role == "targets":
        releases.sign_targets()
    releases.state()
    releases.days = 30
    if role != "stable":
        releases.sign_channel("stable")
    if role != "snapshot":
        releases.sign_snapshot()
    releases.sign_timestamp()
    silo.now = NOW + timedelta(days=2)
    assert silo.code(releases.gathered()) == "expired"


def test_too_few_signatures_of_the_targets_are_refused(releases: Releases, silo: Silo) -> None:
    releases.sign_targets(releases.keys["targets"][0])
    assert silo.code(releases.state()) == "too_few_signatures"


def test_one_key_that_signs_twice_is_one_key(releases: Releases, silo: Silo) -> None:
    releases.sign_targets(*[releases.keys["targets"][0]] * 2)
    assert silo.code(releases.state()) == "too_few_signatures"
    releases.sign_targets()
    files = releases.state()
    twice = json.loads(files.timestamp)
    twice["signatures"] *= 2
    assert silo.code(files.model_copy(update={"timestamp": json.dumps(twice)})) == "malformed"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "stable"])
def test_a_file_by_an_unknown_key_is_refused(releases: Releases, silo: Silo, role: str) -> None:
    releases.state()
    if role == "stable":
        releases.sign_channel("stable", STRANGER)
    releases.sign_snapshot(*[STRANGER] * (role == "snapshot"))
    releases.sign_timestamp(*[STRANGER] * (role == "timestamp"))
    assert silo.code(releases.gathered()) == "too_few_signatures"


def test_an_attackers_first_root_is_refused(releases: Releases, silo: Silo) -> None:
    attacker = Releases(NOW)
    attacker.list("r9", 9, FILES)
    assert silo.code(attacker.state()) == "wrong_root"


@pytest.mark.parametrize("own_keys", [True, False])
def test_an_attackers_new_root_is_refused(releases: Releases, silo: Silo, own_keys: bool) -> None:
    """It follows the pinned one, and too few of the old root's keys have signed it."""
    old = releases.keys["root"]
    stolen = [new_signing("tuf-root") for _ in range(3)]
    if own_keys:
        releases.keys["root"] = stolen
    releases.sign_root(old[0], *stolen[:2])
    assert silo.code(releases.state()) == "too_few_signatures"


def test_a_new_root_that_its_own_keys_have_not_signed_is_refused(
    releases: Releases, silo: Silo
) -> None:
    old = releases.keys["root"]
    releases.keys["root"] = [new_signing("tuf-root") for _ in range(3)]
    releases.sign_root(*old)
    assert silo.code(releases.state()) == "too_few_signatures"


def test_a_silo_walks_from_the_pinned_root_to_the_newest(releases: Releases, silo: Silo) -> None:
    for _ in range(3):
        old = releases.keys["root"]
        releases.keys["root"] = [new_signing("tuf-root") for _ in range(3)]
        releases.sign_root(*old[:2], *releases.keys["root"][1:])
    files = releases.state()
    silo.take(files)
    assert silo.version("root") == 4
    assert silo.code(files.model_copy(update={"roots": files.roots[:3]})) == "rolled_back"
    gap = (*files.roots[:2], files.roots[3])
    assert Silo(releases).code(files.model_copy(update={"roots": gap})) == "too_few_signatures"


def test_a_root_that_leaves_out_a_version_is_refused(releases: Releases, silo: Silo) -> None:
    releases.versions["root"] += 1
    releases.sign_root()
    assert silo.code(releases.state()) == "mixed_metadata"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "stable"])
def test_a_rotated_key_ends_a_fast_forward(releases: Releases, silo: Silo, role: str) -> None:
    """Whoever stole an online key signs the highest version; new keys begin a new floor."""
    releases.versions[role] = 2**31 - 2
    silo.take(releases.state())
    releases.versions[role] = 1
    assert silo.code(releases.state()) == "rolled_back"
    releases.keys[role] = [new_signing("tuf-root")]
    releases.sign_root()
    releases.sign_targets()
    silo.take(releases.state())
    assert silo.version("root") == 2


@pytest.mark.parametrize("role", ["snapshot", "targets", "stable"])
def test_a_mixed_and_matched_file_is_refused(releases: Releases, silo: Silo, role: str) -> None:
    """Each is signed and fresh, and none belongs to the others."""
    releases.state()
    earlier = releases.files[role]
    releases.sign_targets()
    releases.state()
    releases.files[role] = earlier
    assert silo.code(releases.gathered()) == "mixed_metadata"


def test_a_snapshot_that_leaves_out_a_channel_is_refused(releases: Releases, silo: Silo) -> None:
    releases.state()
    made = metadata.snapshot(releases.edition("snapshot"), {"targets": releases.files["targets"]})
    releases.files["snapshot"] = metadata.sign(made, releases.signers("snapshot"))
    releases.sign_timestamp()
    assert silo.code(releases.gathered()) == "mixed_metadata"


@pytest.mark.parametrize("role", ["snapshot", "targets", "stable"])
def test_a_file_of_another_version_than_is_named_is_refused(
    releases: Releases, silo: Silo, role: str
) -> None:
    """Where the file that names it gives no hash."""
    releases.state()
    named = {name: releases.files[name] for name in ("targets", *CHANNELS)}
    made = metadata.snapshot(releases.edition("snapshot"), named)
    wrong = MetaFile(releases.versions.get(role, 0) + 1)
    if role != "snapshot":
        made.meta[f"{role}.json"] = wrong
    releases.files["snapshot"] = metadata.sign(made, releases.signers("snapshot"))
    stamp = metadata.timestamp(releases.edition("timestamp"), releases.files["snapshot"])
    if role == "snapshot":
        stamp.snapshot_meta = wrong
    releases.files["timestamp"] = metadata.sign(stamp, releases.signers("timestamp"))
    assert silo.code(releases.gathered()) == "mixed_metadata"


@pytest.mark.parametrize(
    "path",
    [
        "plans/p1/manifest.json",
        "releases/manifest.json",
        "releases/r2/deep/manifest.json",
        "releases/../manifest.json",
        "releases/r2/Manifest.json",
    ],
)
def test_a_target_outside_of_its_delegation_is_refused(
    releases: Releases, silo: Silo, path: str
) -> None:
    file = TargetFile(8, {"sha256": sha256_bytes(b"manifest")}, path)
    releases.listed["stable"][path] = file
    assert silo.code(releases.state()) == "outside_delegation"


def test_a_target_outside_of_the_paths_that_the_offline_keys_allow_is_refused(
    releases: Releases, silo: Silo
) -> None:
    roles = {name: metadata.role_of(1, [releases.keys[name][0].public_hex]) for name in CHANNELS}
    made = metadata.targets(releases.edition("targets"), roles)
    assert made.delegations is not None
    assert made.delegations.roles is not None
    made.delegations.roles["stable"].paths = ["releases/s*/*"]
    releases.files["targets"] = metadata.sign(made, releases.signers("targets"))
    assert silo.code(releases.state()) == "outside_delegation"


def test_the_wrong_channel_offers_nothing(releases: Releases, silo: Silo) -> None:
    releases.list("r2", 2, FILES, "canary")
    files = releases.state()
    assert [one.release_id for one in silo.take(files).offers] == ["r1"]
    canary = Silo(releases, "canary")
    assert [one.release_id for one in canary.take(files).offers] == ["r1", "r2"]


def test_the_canary_keys_do_not_sign_for_stable(releases: Releases, silo: Silo) -> None:
    releases.state()
    releases.sign_channel("stable", releases.keys["canary"][0])
    assert silo.code(releases.sealed()) == "too_few_signatures"
    files = releases.state()
    swapped = {"stable": files.channels["canary"], "canary": files.channels["stable"]}
    assert silo.code(files.model_copy(update={"channels": swapped})) == "mixed_metadata"


def test_a_channel_that_did_not_come_along_is_refused(releases: Releases, silo: Silo) -> None:
    files = releases.state()
    only = {"canary": files.channels["canary"]}
    assert silo.code(files.model_copy(update={"channels": only})) == "missing_channel"


@pytest.mark.parametrize("nothing", [True, False])
def test_a_channel_without_a_delegation_is_refused(
    releases: Releases, silo: Silo, nothing: bool
) -> None:
    edition = releases.edition("targets")
    made = metadata.listing(edition, {})
    if not nothing:
        keys = {"canary": metadata.role_of(1, [STRANGER.public_hex])} | {
            name: metadata.role_of(1, [releases.keys[name][0].public_hex]) for name in CHANNELS
        }
        made = metadata.targets(edition, {name: keys[name] for name in CHANNELS})
        assert made.delegations is not None
        assert made.delegations.roles is not None
        del made.delegations.roles["stable"]
    releases.files["targets"] = metadata.sign(made, releases.signers("targets"))
    assert silo.code(releases.state()) == "missing_channel"


def test_another_type_of_document_is_refused(releases: Releases, silo: Silo) -> None:
    """Even of the same key: what is signed begins with its type."""
    files = releases.state()
    changed = files.timestamp.replace("vnd.tuf+json", "vnd.onggi.round+json")
    assert silo.code(files.model_copy(update={"timestamp": changed})) == "wrong_type"
    swapped = files.model_copy(update={"timestamp": files.snapshot})
    assert silo.code(swapped) == "too_few_signatures"


def test_a_file_of_another_role_by_the_right_key_is_refused(releases: Releases, silo: Silo) -> None:
    files = releases.state()
    made = metadata.snapshot(releases.edition("snapshot"), {})
    swapped = metadata.sign(made, releases.signers("timestamp")).decode()
    assert silo.code(files.model_copy(update={"timestamp": swapped})) == "malformed"


def test_a_payload_that_names_a_field_twice_is_refused(releases: Releases, silo: Silo) -> None:
    envelope = SimpleEnvelope(b'{"version":1,"version":2}', "application/vnd.tuf+json", {})
    files = releases.state().model_copy(update={"timestamp": envelope.to_bytes().decode()})
    assert silo.code(files) == "duplicate_key"


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.hashes.pop("sha256"),
        lambda file: file.hashes.update(sha256="../../etc"),
        lambda file: setattr(file, "length", 2**40),
        lambda file: file.unrecognized_fields.pop("custom"),
        lambda file: file.unrecognized_fields.update(custom="1"),
        lambda file: file.unrecognized_fields.update(custom={"version": "new"}),
    ],
)
def test_a_target_whose_fields_mean_nothing_is_refused(
    releases: Releases, silo: Silo, change: Callable[[TargetFile], object]
) -> None:
    file = releases.listed["stable"]["releases/r1/manifest.json"]
    change(file)
    if not file.hashes:
        file.hashes["md5"] = "0" * 32
    assert silo.code(releases.state()) == "malformed"


def test_carriers_learn_what_to_bring(releases: Releases) -> None:
    newer = {MANIFEST: reference(b"m2"), "weights.safetensors": reference(b"w2")}
    releases.list("r2", 2, newer, "canary")
    files = releases.state()
    assert newest_files(files, "stable") == tuple(FILES.values())
    assert newest_files(files, "canary") == (*newer.values(), *FILES.values())
    assert newest_files(Releases(NOW).state(), "canary") == ()
    with pytest.raises(Refused, match="malformed"):
        newest_files(files.model_copy(update={"channels": {}}), "stable")
    listed = SimpleEnvelope(b"[]", "application/vnd.tuf+json", {}).to_bytes().decode()
    with pytest.raises(Refused, match="malformed"):
        newest_files(files.model_copy(update={"channels": {"stable": listed}}), "stable")


def test_every_release_without_a_manifest_is_passed_over(releases: Releases, silo: Silo) -> None:
    only = {"weights.safetensors": ObjectRef(sha256="00" * 32, bytes=1)}
    releases.list("r2", 2, only)
    assert [one.release_id for one in silo.take(releases.state()).offers] == ["r1"]


_SAMPLE = Releases(NOW)
_SAMPLE.list("r1", 1, FILES)
_FILES = _SAMPLE.state()
_TEXTS = ("timestamp", "snapshot", "targets", "stable", "root")


@settings(max_examples=300, deadline=None)
@given(
    which=st.sampled_from(_TEXTS),
    at=st.floats(0, 1, exclude_max=True),
    put=st.one_of(
        st.binary(max_size=8), st.sampled_from([b"{", b"[", b'"', b"null", b"-1", b"1e9"])
    ),
    cut=st.integers(0, 40),
    inside=st.booleans(),
)
def test_whatever_arrives_is_refused_by_a_name(
    which: str, at: float, put: bytes, cut: int, inside: bool
) -> None:
    """Bytes are changed in the envelope, or in its payload, which somebody then signs anew."""
    role = which
    content = _SAMPLE.roots[0] if role == "root" else _SAMPLE.files[role]
    if inside:
        payload = SimpleEnvelope[Targets].from_bytes(content).payload
        place = int(at * len(payload))
        changed = payload[:place] + put + payload[place + cut :]
        envelope = SimpleEnvelope[Targets](changed, "application/vnd.tuf+json", {})
        for key in _SAMPLE.signers(role):
            envelope.sign(metadata._TufSigner(key))
        content = envelope.to_bytes()
    else:
        place = int(at * len(content))
        content = content[:place] + put + content[place + cut :]
    text = content.decode("utf-8", "replace")
    update: dict[str, object] = {role: text}
    if role == "root":
        update = {"roots": (text,)}
    elif role == "stable":
        update = {"channels": {**_FILES.channels, "stable": text}}
    files = _FILES.model_copy(update=update)
    pinned = sha256_bytes(text.encode()) if role == "root" else _SAMPLE.root_sha256
    try:
        verify_repository(files, pinned, "stable", NOW, lambda _: 0)
    except Refused:
        return
    assert _python_tuf_accepts(files)


def _python_tuf_accepts(files: RepositoryFiles) -> bool:
    """Asks python-tuf's own client workflow, the first root taken as pinned."""
    try:
        trusted = TrustedMetadataSet(files.roots[0].encode(), EnvelopeType.SIMPLE)
        trusted.reference_time = NOW
        for root in files.roots[1:]:
            trusted.update_root(root.encode())
        trusted.update_timestamp(files.timestamp.encode())
        trusted.update_snapshot(files.snapshot.encode())
        trusted.update_targets(files.targets.encode())
        trusted.update_delegated_targets(files.channels["stable"].encode(), "stable", "targets")
    except (RepositoryError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def test_python_tuf_refuses_no_less_than_is_said_here() -> None:
    assert _python_tuf_accepts(_FILES)
    assert not _python_tuf_accepts(_FILES.model_copy(update={"timestamp": _FILES.snapshot}))


def test_the_rules_open_no_socket() -> None:
    """The import of python-tuf's client does: urllib3 binds one to look for IPv6."""
    script = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda e, _: seen.append(e) if e.startswith('socket.') else None)\n"
        "import agent.keeper.channel\n"
        "assert not seen, seen\n"
        "assert 'urllib3' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_editions_are_written_to_the_second() -> None:
    edition = Edition(1, NOW + timedelta(microseconds=5))
    assert metadata.listing(edition, {}).expires == NOW
