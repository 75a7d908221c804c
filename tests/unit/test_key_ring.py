"""Keys that rest sealed: the same when opened, refused when altered, never replaced by new ones."""

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import Stop
from agent.key_file import is_sealed, rests_sealed
from agent.key_ring import NONE, RingKey, Rings, read_ring, seal_folder
from agent.keys import (
    Identity,
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

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_RING, _OTHER = RingKey(bytes(range(32))), RingKey(bytes(range(1, 33)))
_RINGS = Rings(_RING, _OTHER)
_FIRST = Path(__file__).parents[1] / "kit" / "identity-1"


def _publics(identity: Identity) -> list[str]:
    keys = (identity.sign, identity.seal, identity.courier, identity.post_quantum)
    return [key.public_hex for key in keys if key is not None]


def _sealed(folder: Path) -> list[bool]:
    return [is_sealed(path.read_bytes()) for path in sorted(folder.rglob("*.key"))]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_identity(tmp_path / "keys", tmp_path / "courier", _NOW)
    return tmp_path


def _load(home: Path, rings: Rings = _RINGS) -> Identity:
    return load_identity(home / "keys", home / "courier", rings)


def _seal(home: Path) -> int:
    return seal_folder(home / "keys", _RING) + seal_folder(home / "courier", _OTHER)


def test_a_plain_ring_is_the_same_once_it_is_sealed(home: Path) -> None:
    before = _publics(_load(home))
    plain = [path.read_bytes().split()[2] for path in home.rglob("*.key")]
    assert _seal(home) == 4
    assert _publics(_load(home)) == before
    assert _load(home).sign.made == _NOW
    for path in home.rglob("*.key"):
        assert is_sealed(content := path.read_bytes())
        assert not any(key in content for key in plain)
        assert path.stat().st_mode & 0o777 == 0o400
    assert _seal(home) == 0, "and again changes nothing"


def test_a_ring_of_the_first_format_is_sealed_and_read(tmp_path: Path) -> None:
    shutil.copytree(_FIRST, tmp_path / "state")
    for path in (tmp_path / "state").rglob("*.key"):
        path.chmod(0o400)
    before = _publics(_load(tmp_path / "state"))
    assert _seal(tmp_path / "state") == len(before)
    assert _publics(_load(tmp_path / "state")) == before


def test_new_keys_are_sealed_from_the_beginning(tmp_path: Path) -> None:
    made = make_identity(tmp_path / "keys", tmp_path / "courier", _NOW, _RINGS)
    assert _sealed(tmp_path) == [True] * 4
    assert _publics(made) == _publics(_load(tmp_path))


@pytest.mark.parametrize("rings", [Rings(), Rings(_OTHER, _RING), Rings(courier=_OTHER)])
def test_a_sealed_ring_is_refused_where_its_key_is_not_and_nothing_is_made(
    home: Path, rings: Rings
) -> None:
    _seal(home)
    (home / "keys" / "seal.key").unlink()
    before = {path: path.read_bytes() for path in home.rglob("*.key")}
    with pytest.raises(Stop, match=r"is sealed, and|by another key") as caught:
        make_identity(home / "keys", home / "courier", _NOW, rings)
    assert caught.value.exit_code == 78
    with pytest.raises(Stop):
        _load(home, rings)
    assert {path: path.read_bytes() for path in home.rglob("*.key")} == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=7))
def test_a_file_with_one_bit_altered_is_refused(tmp_path: Path, at: int, bit: int) -> None:
    whole, path = tmp_path / "whole.key", tmp_path / "sign.key"
    if not whole.exists():
        new_signing("sign", _NOW).save(whole, ring=_RING)
    content = bytearray(whole.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    path.chmod(0o600)
    load_signing(whole, "sign", _RING)
    with pytest.raises(Stop):
        load_signing(path, "sign", _RING)


@given(raw=st.binary(min_size=32, max_size=32), line=st.binary(max_size=300))
def test_what_is_sealed_opens_alike_and_by_its_own_key_alone(raw: bytes, line: bytes) -> None:
    ring = RingKey(raw)
    sealed = ring.seal(line)
    assert RingKey(raw).unseal(sealed) == line
    assert ring.seal(line) != sealed, "a nonce of its own each time"
    assert RingKey(bytes(one ^ 1 for one in raw)).unseal(sealed) is None
    assert ring.unseal(sealed[:-1]) is None
    assert ring.unseal(b"") is None


def test_a_mark_tells_keys_apart_and_is_no_part_of_one() -> None:
    assert _RING.mark != _OTHER.mark
    assert _RING.mark == RingKey(bytes(range(32))).mark
    assert bytes.fromhex(_RING.mark) not in bytes(range(32))


def test_every_kind_of_key_is_read_sealed(tmp_path: Path) -> None:
    signing, sealing = new_signing("sign"), new_sealing("seal", _NOW)
    post_quantum, pair = new_post_quantum(_NOW), new_hybrid("round")
    for name, key in (("a", signing), ("b", sealing), ("c", post_quantum), ("d", pair)):
        key.save(tmp_path / name, ring=_RING)
    assert load_signing(tmp_path / "a", "sign", _RING).public_hex == signing.public_hex
    assert load_sealing(tmp_path / "b", "seal", _RING).public_hex == sealing.public_hex
    assert load_post_quantum(tmp_path / "c", _RING).public_hex == post_quantum.public_hex
    with pytest.raises(Stop, match="run this as root"):
        load_hybrid(tmp_path / "d", "round")


def test_a_sealed_file_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    new_signing("sign").save(tmp_path / "sign.key", ring=_RING)
    shutil.copy(tmp_path / "sign.key", tmp_path / "courier.key")
    with pytest.raises(Stop, match="a key to sign"):
        load_signing(tmp_path / "courier.key", "courier", _RING)


def test_a_full_disk_leaves_the_keys_as_they_were(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*.key")}
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", _full)
        assert _seal(home) == 0
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    assert _seal(home) == 4, "and the next start seals them"


def _full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_draft_that_a_kill_left_goes_for_it_may_be_plain(home: Path) -> None:
    draft = home / "keys" / ".sign.next.key.4711.tmp"
    draft.write_bytes((home / "keys" / "sign.key").read_bytes())
    other = home / "keys" / "notes.txt"
    other.write_text("stays")
    _seal(home)
    assert (draft.exists(), other.exists()) == (False, True)


def test_a_file_that_is_no_key_is_not_sealed(home: Path) -> None:
    (home / "keys" / "odd.key").write_bytes(b"onggi-key-v4 of a later program")
    assert _seal(home) == 4
    assert (home / "keys" / "odd.key").read_bytes() == b"onggi-key-v4 of a later program"


@pytest.mark.parametrize("sealed", [True, False])
def test_a_next_key_rests_as_the_one_before_it(home: Path, sealed: bool) -> None:
    path = home / "keys" / "seal.key"
    if sealed:
        _seal(home)
    prepare_next(path, "seal", _NOW, _RING)
    assert rests_sealed(next_key(path), _RING) is sealed
    promote(path, keep=True)
    assert rests_sealed(path, _RING) is sealed
    _seal(home)
    assert _sealed(home) == [True] * 5, "the retired one, too"


def test_no_next_key_is_made_beside_one_that_cannot_be_opened(home: Path) -> None:
    _seal(home)
    with pytest.raises(Stop, match="run this as root"):
        prepare_next(home / "keys" / "sign.key", "sign", _NOW)
    assert not next_key(home / "keys" / "sign.key").exists()


def test_nothing_is_sealed_without_a_key(home: Path) -> None:
    assert seal_folder(home / "keys", None) == 0
    assert seal_folder(home / "absent", _RING) == 0
    assert _sealed(home) == [False] * 4


def test_the_credential_that_systemd_lays_before_a_service(tmp_path: Path) -> None:
    path = tmp_path / "onggi-keys"
    assert read_ring(path) is None
    path.write_bytes(NONE)
    assert read_ring(path) is None
    path.write_bytes(bytes(range(32)))
    found = read_ring(path)
    assert found is not None
    assert found.mark == _RING.mark
    for wrong in (b"", b"nope", bytes(33)):
        path.write_bytes(wrong)
        with pytest.raises(Stop, match=f"has {len(wrong)} bytes"):
            read_ring(path)
    with pytest.raises(Stop, match="Cannot read"):
        read_ring(path / "below")


class _Killed(BaseException):
    """What no handler of the program catches, as nothing catches SIGKILL."""


@pytest.mark.parametrize("after", range(12))
@pytest.mark.parametrize("step", ["os.open", "os.fsync", "os.replace"])
def test_a_kill_at_any_step_leaves_every_key_whole(
    home: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: int
) -> None:
    before, left = _publics(_load(home)), iter(range(after))
    module, _, name = step.partition(".")
    real = getattr(os, name)

    def one(*words: object, **named: object) -> object:
        if next(left, None) is None:
            raise _Killed
        return real(*words, **named)

    killed = True
    with monkeypatch.context() as patch, suppress(_Killed):
        patch.setattr(f"{module}.{name}", one)
        _seal(home)
        killed = False
    assert killed or after >= 4, "each of the four keys takes each step"
    assert _publics(_load(home)) == before
    _seal(home)
    assert _publics(_load(home)) == before
    assert _sealed(home) == [True] * 4
