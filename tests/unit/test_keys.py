"""Keys: for one purpose, never overwritten, and never shown."""

import copy
import io
import os
import pickle  # noqa: TID251
import pprint
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest
from nacl.public import PublicKey, SealedBox

from agent.errors import Refused, Stop
from agent.keys import (
    SealingIdentity,
    SigningIdentity,
    load_hybrid,
    load_identity,
    load_post_quantum,
    load_sealing,
    load_signing,
    make_identity,
    new_hybrid,
    new_post_quantum,
    new_sealing,
    new_signing,
    next_key,
    prepare_next,
    promote,
)
from agent.wire.signed import check_signature

_RAW = bytes(range(32))
_KEYS = [SigningIdentity("sign", _RAW), SealingIdentity("seal", _RAW)]


def _hides(text: str) -> bool:
    return _RAW.hex() not in text and repr(_RAW)[2:30] not in text and "\\x01\\x02" not in text


@pytest.mark.parametrize("key", _KEYS, ids=["sign", "seal"])
def test_a_key_never_prints(key: SigningIdentity | SealingIdentity) -> None:
    shown = [repr(key), str(key), f"{key}", f"{key!r}", f"{key!s:>80}", "%s" % key, "%r" % (key,)]  # noqa: UP031
    shown += [format(key), pprint.pformat({"key": key}), f"{[key]}"]
    assert all(_hides(text) for text in shown)
    assert all("hidden" in text for text in shown)


@pytest.mark.parametrize("key", _KEYS, ids=["sign", "seal"])
def test_a_traceback_with_locals_hides_the_key(key: SigningIdentity | SealingIdentity) -> None:
    def fail(held: object) -> None:
        raise ValueError(f"no use for {held}")

    try:
        fail(key)
    except ValueError as error:
        summary = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert _hides("".join(summary.format()))


@pytest.mark.parametrize("key", _KEYS, ids=["sign", "seal"])
def test_a_key_is_neither_pickled_nor_copied(key: SigningIdentity | SealingIdentity) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="never pickled"):
            pickle.Pickler(io.BytesIO(), protocol).dump(key)
    with pytest.raises(TypeError, match="never pickled"):
        copy.deepcopy(key)
    with pytest.raises(TypeError, match="never pickled"):
        key.__getstate__()
    assert not hasattr(key, "__dict__")


def test_a_signature_fits_its_key() -> None:
    key = new_signing("sign")
    check_signature(key.public_hex, b"message", key.sign(b"message"))
    with pytest.raises(Refused, match="bad_signature"):
        check_signature(new_signing("sign").public_hex, b"message", key.sign(b"message"))


def test_unsealing_fits_only_its_key() -> None:
    key = new_sealing("seal")
    sealed = SealedBox(PublicKey(bytes.fromhex(key.public_hex))).encrypt(b"secret")
    assert key.unseal(sealed) == b"secret"
    for wrong in (b"", b"x" * 100, sealed[:-1]):
        with pytest.raises(Refused, match="not_for_us"):
            key.unseal(wrong)
    with pytest.raises(Refused, match="not_for_us"):
        new_sealing("seal").unseal(sealed)


def test_a_saved_key_reads_back_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    signing, sealing = new_signing("root"), new_sealing("round")
    signing.save(tmp_path / "a")
    sealing.save(tmp_path / "b")
    assert load_signing(tmp_path / "a", "root").public_hex == signing.public_hex
    assert load_sealing(tmp_path / "b", "round").public_hex == sealing.public_hex
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o400
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "sign.key"
    new_signing("sign").save(path)
    before = path.read_bytes()
    with pytest.raises(Stop, match="never overwritten"):
        new_signing("sign").save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["sign.key"]


def test_a_folder_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="Cannot write the key"):
        new_signing("sign").save(tmp_path / "nowhere" / "sign.key")


def test_a_draft_left_by_a_kill_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f".sign.key.{os.getpid()}.tmp").write_text("half a key")
    new_signing("sign").save(tmp_path / "sign.key")
    load_signing(tmp_path / "sign.key", "sign")


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (None, 0, "run `onggi keygen`"),
        (b"\xff\xfe", 0o400, "damaged"),
        (b"", 0o400, "damaged"),
        (b"onggi-key-v1 sign " + b"0" * 63, 0o400, "damaged"),
        (b"onggi-key-v2 sign " + b"0" * 64, 0o400, "damaged"),
        (b"onggi-key-v2 sign " + b"0" * 64 + b" 2026-99-99T00:00:00Z", 0o400, "damaged"),
        (b"onggi-key-v4 sign " + b"0" * 64, 0o400, "newer Onggi"),
        (b"onggi-key-v3 sign " + b"0" * 64, 0o400, "damaged"),
        (b"onggi-key-v3 0123456789abcdef " + b"0" * 64 + b"\n", 0o400, "run this as root"),
        (b"onggi-keys sign " + b"0" * 64, 0o400, "damaged"),
        (b"onggi-key-v1 sign " + b"x" * 64, 0o400, "damaged"),
        (b"onggi-key-v1 seal " + b"0" * 64, 0o400, "a key to seal"),
        (b"onggi-key-v1 sign " + b"0" * 64, 0o404, "chmod 0400"),
    ],
)
def test_a_key_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes | None, mode: int, says: str
) -> None:
    path = tmp_path / "sign.key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(Stop, match=says) as caught:
        load_signing(path, "sign")
    assert "0" * 60 not in "".join(traceback.format_exception(caught.value))


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    first = make_identity(tmp_path / "keys", tmp_path / "courier")
    again = make_identity(tmp_path / "keys", tmp_path / "courier")
    publics = [(i.sign.public_hex, i.seal.public_hex, i.courier.public_hex) for i in (first, again)]
    assert publics[0] == publics[1]
    assert len(set(publics[0])) == 3
    assert (first.sign.purpose, first.seal.purpose, first.courier.purpose) == (
        "sign",
        "seal",
        "courier",
    )
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert "hidden" in repr(first)


@pytest.mark.parametrize("lost", ["keys/sign.key", "keys/seal.key", "courier/courier.key"])
def test_only_the_missing_key_is_made(tmp_path: Path, lost: str) -> None:
    make_identity(tmp_path / "keys", tmp_path / "courier")
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.key") if path != tmp_path / lost}
    (tmp_path / lost).unlink()
    with pytest.raises(Stop, match="keygen"):
        load_identity(tmp_path / "keys", tmp_path / "courier")
    make_identity(tmp_path / "keys", tmp_path / "courier")
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("")
    with pytest.raises(Stop, match="Cannot make the folder"):
        make_identity(tmp_path / "keys", tmp_path / "courier")


def test_post_quantum_keys_are_saved_and_read_back(tmp_path: Path) -> None:
    made = datetime(2026, 6, 1, tzinfo=UTC)
    signing, pair = new_post_quantum(made), new_hybrid("round")
    signing.save(tmp_path / "a")
    pair.save(tmp_path / "b")
    again = load_post_quantum(tmp_path / "a")
    assert (again.public_hex, again.made) == (signing.public_hex, made)
    assert len(signing.sign(b"x")) == 3309
    both = load_hybrid(tmp_path / "b", "round")
    assert (both.public_hex, both.kem_hex) == (pair.public_hex, pair.kem_hex)
    with pytest.raises(Stop, match="damaged"):
        load_hybrid(tmp_path / "a", "pq-sign")
    for sealed in (b"", b"x" * 1200):
        with pytest.raises(Refused, match="not_for_us"):
            pair.unseal(sealed)


def test_an_identity_without_a_post_quantum_key_is_read(tmp_path: Path) -> None:
    whole = make_identity(tmp_path / "keys", tmp_path / "courier")
    assert whole.post_quantum is not None
    (tmp_path / "keys" / "pq-sign.key").unlink()
    assert load_identity(tmp_path / "keys", tmp_path / "courier").post_quantum is None


@pytest.mark.parametrize("root", [True, False])
def test_a_next_key_gets_the_owner_of_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bool
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr("os.fchown", lambda _, user, group: given.append((user, group)))
    path = tmp_path / "sign.key"
    new_signing("sign").save(path)
    prepare_next(path, "sign", datetime(2026, 6, 1, tzinfo=UTC))
    before = next_key(path).read_bytes()
    prepare_next(path, "sign", datetime(2026, 6, 2, tzinfo=UTC))
    assert next_key(path).read_bytes() == before, "made once"
    there = path.stat()
    assert given == ([(there.st_uid, there.st_gid)] if root else [])


def test_nothing_is_promoted_where_nothing_waits(tmp_path: Path) -> None:
    path = tmp_path / "seal.key"
    new_sealing("seal").save(path)
    promote(path, keep=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["seal.key"]
