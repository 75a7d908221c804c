"""The courier's own new key, and the requests that it carries."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from agent.boxes import rotation_path
from agent.errors import Refused, Stop, TryLater
from agent.exchange.answers import Answer
from agent.exchange.rotations import CourierKey, Requests
from agent.key_ring import RingKey
from agent.keys import load_signing, new_signing, next_key, prepare_next

if TYPE_CHECKING:
    from agent.exchange.session import Link

_NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Aggregator:
    """Believes one key; everything else is refused as the real one does it."""

    def __init__(self, path: Path, ring: RingKey | None = None) -> None:
        self.key = CourierKey(path, ring)
        self.believed = self.key.public_hex
        self.fault: Exception | None = None

    def step(self, _now: datetime) -> int:
        if self.key.public_hex != self.believed:
            raise Refused("bad_signature", "The signature does not fit the bytes.")
        if self.fault is not None:
            raise self.fault
        return 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    new_signing("courier").save(tmp_path / "courier.key")
    return tmp_path / "courier.key"


@pytest.fixture
def aggregator(path: Path) -> Aggregator:
    return Aggregator(path)


def _next(path: Path) -> str:
    prepare_next(path, "courier", _NOW)
    return load_signing(next_key(path), "courier").public_hex


def test_the_old_key_is_used_as_long_as_it_is_believed(path: Path, aggregator: Aggregator) -> None:
    _next(path)
    assert aggregator.key.following(aggregator.step)(_NOW) == 1
    assert next_key(path).exists()


@pytest.mark.parametrize("fault", [None, Refused("unknown_object", "x")])
def test_the_new_key_takes_over_once_only_it_is_believed(
    path: Path, aggregator: Aggregator, fault: Exception | None
) -> None:
    aggregator.believed, aggregator.fault = _next(path), fault
    step = aggregator.key.following(aggregator.step)
    if fault is None:
        assert step(_NOW) == 1
    else:
        with pytest.raises(Refused, match="unknown_object"):
            step(_NOW)
    assert not next_key(path).exists()
    assert load_signing(path, "courier").public_hex == aggregator.believed
    aggregator.fault = None
    assert step(_NOW) == 1


def test_a_sealed_key_gives_way_to_a_sealed_one(tmp_path: Path) -> None:
    path, ring = tmp_path / "courier.key", RingKey(bytes(32))
    new_signing("courier").save(path, ring=ring)
    prepare_next(path, "courier", _NOW, ring)
    following = load_signing(next_key(path), "courier", ring).public_hex
    aggregator = Aggregator(path, ring)
    aggregator.believed = following
    assert aggregator.key.following(aggregator.step)(_NOW) == 1
    assert CourierKey(path, ring).public_hex == following
    with pytest.raises(Stop, match="run this as root"):
        CourierKey(path)


def test_a_key_that_nobody_believes_replaces_nothing(path: Path, aggregator: Aggregator) -> None:
    old = path.read_bytes()
    _next(path)
    aggregator.believed = "another"
    with pytest.raises(Refused, match="bad_signature"):
        aggregator.key.following(aggregator.step)(_NOW)
    assert path.read_bytes() == old
    assert next_key(path).exists()
    assert aggregator.key.public_hex == load_signing(path, "courier").public_hex


def test_an_aggregator_that_is_away_decides_nothing(path: Path, aggregator: Aggregator) -> None:
    aggregator.believed, aggregator.fault = _next(path), TryLater("away")
    step = aggregator.key.following(aggregator.step)
    with pytest.raises(TryLater):
        step(_NOW)
    assert next_key(path).exists()
    aggregator.fault = None
    assert step(_NOW) == 1


def test_without_a_new_key_a_refusal_is_a_refusal(aggregator: Aggregator) -> None:
    aggregator.believed = "another"
    with pytest.raises(Refused, match="bad_signature"):
        aggregator.key.following(aggregator.step)(_NOW)
    aggregator.believed = aggregator.key.public_hex
    aggregator.fault = Refused("wrong_time", "x")
    with pytest.raises(Refused, match="wrong_time"):
        aggregator.key.following(aggregator.step)(_NOW)


def test_two_lanes_replace_it_once(path: Path, aggregator: Aggregator) -> None:
    """The one lane finds out while the other is about to; then a third has settled already."""
    aggregator.believed = _next(path)
    inner = aggregator.key.following(aggregator.step)

    def outer(now: datetime) -> int:
        try:
            return aggregator.step(now)
        except Refused:
            assert inner(now) == 1
            raise

    assert aggregator.key.following(outer)(_NOW) == 1
    assert load_signing(path, "courier").public_hex == aggregator.believed

    other = Aggregator(path)
    other.believed = _next(path)
    stale = CourierKey(path)
    assert other.key.following(other.step)(_NOW) == 1
    other.key, settled = stale, other.key
    assert stale.following(other.step)(_NOW) == 1, "it reads what the other lane has put in place"
    assert settled.sign(b"x") == stale.sign(b"x")


def test_a_folder_that_cannot_be_written_is_tried_again(
    path: Path, aggregator: Aggregator, monkeypatch: pytest.MonkeyPatch
) -> None:
    aggregator.believed = _next(path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agent.exchange.rotations.promote", full)
    with pytest.raises(TryLater, match="No space"):
        aggregator.key.following(aggregator.step)(_NOW)
    monkeypatch.undo()
    assert aggregator.key.following(aggregator.step)(_NOW) == 1


class Post:
    """Stands for a link: notes what is posted, and answers as told."""

    def __init__(self, status: int = 202) -> None:
        self.status = status
        self.bodies: list[bytes] = []

    def ask(self, method: str, path: str, body: bytes) -> Answer:
        assert (method, path) == ("POST", "/v1/rotations")
        self.bodies.append(body)
        return Answer(self.status, {}, b'{"code":"wrong_key","detail":"No."}')


def test_a_request_is_carried_and_repeated_after_an_hour(tmp_path: Path) -> None:
    post = Post()
    requests = Requests(cast("Link", post), tmp_path)
    assert requests.step(_NOW) == 0
    rotation_path(tmp_path, "sign").write_bytes(b"one")
    assert [requests.step(_NOW + timedelta(minutes=m)) for m in (0, 59, 61)] == [1, 0, 1]
    rotation_path(tmp_path, "sign").write_bytes(b"two")
    assert requests.step(_NOW + timedelta(minutes=62)) == 1
    assert requests.step(_NOW) == 1, "a clock that went back must not stop it"
    assert post.bodies == [b"one", b"one", b"two", b"two"]


def test_a_refused_request_is_said(tmp_path: Path) -> None:
    rotation_path(tmp_path, "sign").write_bytes(b"one")
    requests = Requests(cast("Link", Post(409)), tmp_path)
    for _ in range(2):
        with pytest.raises(Refused, match="wrong_key"):
            requests.step(_NOW)


def test_an_outbox_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    rotation_path(tmp_path, "sign").mkdir()
    with pytest.raises(TryLater, match="outbox"):
        Requests(cast("Link", Post()), tmp_path).step(_NOW)
