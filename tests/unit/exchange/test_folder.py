"""The folder carrier at the silo: what is written, what is taken, and what is not believed."""

import base64
import logging
import os
import threading
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest

from agent import clock
from agent.audit.reconcile import Booked, Comparison, Progress
from agent.audit.transport import read as read_transport
from agent.boxes import Inbox, Outbox
from agent.errors import OnggiError, Refused, Stop, TryLater
from agent.exchange.carry import Carried, carry_once, watch
from agent.exchange.downlink import TRIES, Downlink
from agent.exchange.folder import Bearer, Folder, _copy_exactly
from agent.exchange.places import Places
from agent.exchange.status import read_status
from agent.exchange.transport_log import TransportLog, Trip, verify
from agent.exchange.uplink import Uplink
from agent.files import exclusive, sha256_bytes, write_atomic
from agent.keys import Identity, load_signing, make_identity, next_key, prepare_next
from agent.stick import Stick
from agent.wire.carrying import FeedRequest, answer_name, feed_name
from agent.wire.documents import Enrolment, Feed, FeedItem, ObjectRef, Receipt
from agent.wire.signed import key_id, sign
from agent.wire.signed import verify as verify_signed

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_BLOB = bytes(range(256)) * 9000
_OBJECT = b"weights" * 1000
_OBJECT_ID = sha256_bytes(_OBJECT)


class Bench:
    """A silo and a stick."""

    def __init__(self, root: Path) -> None:
        self.places = Places.under(root / "state")
        for folder in (self.places.trust, self.places.outbox, self.places.inbox / "objects"):
            folder.mkdir(parents=True)
        self.identity: Identity = make_identity(self.places.keys, self.places.courier)
        note = Enrolment(
            silo="a",
            consortium="c",
            url="https://nowhere.example:1",
            root_sha256="00" * 32,
            enrolled=clock.to_text(_NOW),
        )
        write_atomic(self.places.enrolment, note.to_bytes())
        self.stick = root / "stick"
        self.stick.mkdir()
        self.now = _NOW

    def clock(self) -> datetime:
        return self.now

    def carry(self, *, out: bool = True, back: bool = True) -> Carried:
        folders = (self.stick if out else None, self.stick if back else None)
        return carry_once(self.places, *folders, self.clock)

    def post(self, header: bytes, blob: bytes = _BLOB) -> str:
        def write(sink: object) -> bytes:
            sink.write(blob)  # type: ignore[attr-defined]
            return header

        outbox = Outbox(self.places.outbox)
        envelope_id = outbox.stage(write)
        outbox.post(envelope_id)
        return envelope_id

    def up(self) -> list[str]:
        folder = self.stick / "up" / "a"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def receipt(self, envelope_id: str, *, named: str | None = None) -> Path:
        receipt = Receipt(
            consortium="c",
            silo="a",
            envelope_id=envelope_id,
            round_id="r",
            log_index=1,
            received=clock.to_text(_NOW),
        )
        content = sign("receipt", receipt.to_bytes(), self.identity.sign)
        name = answer_name(named or envelope_id, "receipt", sha256_bytes(content))
        return self.place(f"down/a/{name}", content)

    def place(self, name: str, content: bytes) -> Path:
        path = self.stick / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def publish(self, after: int, *numbers: int, objects: tuple[ObjectRef, ...] = ()) -> Path:
        document = base64.b64encode(b"signed").decode()
        items = tuple(
            FeedItem(number=number, kind="plan", document=document, objects=objects)
            for number in numbers
        )
        content = Feed(items=items, last=numbers[-1] if numbers else after).to_bytes()
        return self.place(f"down/a/{feed_name(after, sha256_bytes(content))}", content)

    def letters(self) -> list[str]:
        return [letter.kind for letter in Inbox(self.places.inbox).letters()]

    def asked(self) -> int:
        content = (self.stick / "up" / "a" / "request").read_bytes()
        key = self.identity.courier.public_hex
        return FeedRequest.parse(verify_signed(content, "feed_request", {key_id(key): key})).after


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def _fails(bench: Bench, kind: type[OnggiError], said: str) -> None:
    with pytest.raises(kind, match=said):
        bench.carry()


def test_while_the_couriers_key_changes_both_sign_what_is_asked(bench: Bench) -> None:
    path = bench.places.courier_key
    prepare_next(path, "courier", _NOW)
    bench.carry()
    content = (bench.stick / "up" / "a" / "request").read_bytes()
    for key in (load_signing(path, "courier"), load_signing(next_key(path), "courier")):
        public = key.public_hex
        assert verify_signed(content, "feed_request", {key_id(public): public})


def test_a_waiting_envelope_is_written_whole_with_what_the_silo_wants(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    assert bench.carry() == Carried(0, 0, 1, ())
    assert bench.up() == sorted([f"{envelope_id}.blob", f"{envelope_id}.header", "request"])
    assert (bench.stick / "up" / "a" / f"{envelope_id}.blob").read_bytes() == _BLOB
    assert bench.asked() == 0


def test_a_second_carrying_writes_nothing_anew(bench: Bench) -> None:
    bench.post(b"a signed header")
    bench.carry()
    before = {path: path.stat().st_ino for path in (bench.stick / "up" / "a").iterdir()}
    bench.now += timedelta(days=1)
    bench.carry()
    assert {path: path.stat().st_ino for path in (bench.stick / "up" / "a").iterdir()} == before


def test_the_oldest_envelope_is_written_first(bench: Bench) -> None:
    ids = [bench.post(b"header %d" % number) for number in range(3)]
    seen: list[str] = []
    carrier = _carrier(bench, back=False)
    for number, one in enumerate(reversed(ids)):
        path = bench.places.outbox / one / "header"
        os.utime(path, (_NOW.timestamp() + number, _NOW.timestamp() + number))

    class Watching:
        last_contact = None
        totals = carrier.totals
        items = carrier.items
        fetch = carrier.fetch

        def offer(self, parcel: object) -> None:
            seen.append(parcel.envelope_id)  # type: ignore[attr-defined]

    uplink = Uplink(
        Watching(), Outbox(bench.places.outbox), Inbox(bench.places.inbox), bench.stick / "m"
    )
    assert uplink.step(_NOW) == 0
    assert seen == list(reversed(ids))
    assert uplink.left() == 3


def test_every_byte_that_leaves_is_in_the_transport_log(bench: Bench) -> None:
    bench.post(b"a signed header")
    bench.carry()
    request = (bench.stick / "up" / "a" / "request").stat().st_size
    totals = verify(bench.places.courier / "transport.ndjson")
    assert totals.bytes_up == len(_BLOB) + len(b"a signed header") + request
    assert totals.requests == 3


@pytest.mark.parametrize("what", ["/blob", "/header", "/v1/feed"])
def test_a_kill_leaves_no_byte_without_its_line(
    bench: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope_id = bench.post(b"a signed header")
    record = TransportLog.record

    def deadly(log: TransportLog, trip: Trip, now: datetime) -> None:
        if trip.target.endswith(what):
            raise KeyboardInterrupt  # stands for SIGKILL
        record(log, trip, now)

    with monkeypatch.context() as patch:
        patch.setattr(TransportLog, "record", deadly)
        with pytest.raises(KeyboardInterrupt):
            bench.carry()
    bench.carry()
    found = Comparison(Progress())
    log = bench.places.courier / "transport.ndjson"
    found.read(read_transport(log, found.progress.mark))
    found.judge({envelope_id: Booked(len(b"a signed header"), len(_BLOB), delivered=True)})
    assert found.differences == []
    assert found.progress.sent[envelope_id] == ((0, len(_BLOB)),)


def test_a_receipt_comes_in_once_and_its_envelope_is_not_written_again(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    bench.receipt(envelope_id)
    assert bench.carry().answered == 1
    assert sorted(bench.letters()) == ["delivered", "receipt"]
    assert bench.up() == ["request"]
    assert bench.carry() == Carried(0, 0, 0, ())


def test_what_has_left_the_outbox_leaves_the_stick(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    bench.carry()
    Outbox(bench.places.outbox).remove(envelope_id)
    bench.carry()
    assert bench.up() == ["request"]


def test_a_receipt_for_another_envelope_ends_nothing(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    path = bench.receipt("ab" * 32, named=envelope_id)
    done = bench.carry()
    assert done.answered == 0
    assert "another envelope" in done.asides[0].reason
    assert not path.exists()
    assert bench.letters() == []


def test_an_answer_that_is_none_is_set_aside(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    content = b"no container"
    bench.place(f"down/a/{answer_name(envelope_id, 'refusal', sha256_bytes(content))}", content)
    assert "is none" in bench.carry().asides[0].reason


@pytest.mark.parametrize("fault", ["altered", "cut", "long", "link"])
def test_a_spoilt_page_is_set_aside_with_a_sentence(bench: Bench, fault: str) -> None:
    path = bench.publish(0, 1)
    content = path.read_bytes()
    if fault == "altered":
        path.write_bytes(content.replace(b"plan", b"root"))
    elif fault == "cut":
        path.write_bytes(content[:-1])
    elif fault == "long":
        path.write_bytes(bytes((4 << 20) + 1))
    else:
        path.rename(bench.stick / "elsewhere")
        path.symlink_to(bench.stick / "elsewhere")
    done = bench.carry()
    assert done.brought == 0
    assert bench.letters() == []
    assert len(done.asides) == 1


def test_a_page_that_is_no_feed_is_set_aside(bench: Bench) -> None:
    content = b'{"items":[],"last":-1}'
    bench.place(f"down/a/{feed_name(0, sha256_bytes(content))}", content)
    assert "Feed is malformed" in bench.carry().asides[0].reason


def test_pages_come_in_one_after_the_other_and_the_next_question_goes_on(bench: Bench) -> None:
    bench.publish(0, 2, 3)
    bench.publish(3, 7)
    bench.publish(9, 11)  # there is a gap before it: a page between is missing
    assert bench.carry().brought == 3
    assert bench.asked() == 7
    assert bench.letters() == ["plan"] * 3


def test_a_page_that_a_silo_has_in_part_gives_the_rest(bench: Bench) -> None:
    bench.publish(0, 1)
    bench.carry()
    bench.publish(0, 1, 2)
    assert bench.carry().brought == 1


def test_an_object_comes_before_the_item_that_names_it(bench: Bench) -> None:
    bench.publish(0, 1, objects=(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)),))
    _fails(bench, TryLater, "not on the stick")
    assert bench.letters() == []
    path = bench.place(f"objects/{_OBJECT_ID}", _OBJECT[:-1])
    _fails(bench, TryLater, "damaged")
    assert not path.exists()
    bench.place(f"objects/{_OBJECT_ID}", _OBJECT)
    assert bench.carry().brought == 1
    assert Inbox(bench.places.inbox).object_path(_OBJECT_ID).read_bytes() == _OBJECT
    assert verify(bench.places.courier / "transport.ndjson").bytes_down == len(_OBJECT)


def test_an_object_goes_on_where_it_broke_off(bench: Bench) -> None:
    bench.place(f"objects/{_OBJECT_ID}", _OBJECT)
    carrier = _carrier(bench)
    sink = BytesIO(_OBJECT[:100])
    sink.seek(100)
    carrier.fetch(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)), sink)
    assert sink.getvalue() == _OBJECT
    (bench.stick / "objects" / _OBJECT_ID).unlink()
    with pytest.raises(TryLater):
        carrier.fetch(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)), sink)
    assert sink.getvalue() == b""


def test_an_item_whose_object_is_too_large_is_passed_over_in_the_end(bench: Bench) -> None:
    memory = bench.places.courier / "feed.json"
    bench.publish(0, 1, objects=(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)),))
    downlink = Downlink(
        _carrier(bench), Inbox(bench.places.inbox), memory, max_object_bytes=len(_OBJECT) - 1
    )
    for _ in range(TRIES - 1):
        with pytest.raises(Refused, match="over the limit"):
            downlink.step(_NOW)
    assert downlink.step(_NOW) == 1
    assert bench.letters() == []


def test_a_feed_that_is_out_of_order_is_refused_in_the_end(bench: Bench) -> None:
    bench.publish(0, 2, 1)
    _fails(bench, Refused, "out of order")


def test_nothing_leaves_or_comes_where_no_folder_is_named(bench: Bench) -> None:
    bench.post(b"a signed header")
    bench.publish(0, 1)
    assert bench.carry(out=False).brought == 1
    assert bench.up() == []
    assert bench.carry(back=False).waiting == 1
    carrier = _carrier(bench, back=False)
    assert carrier.items(0) == ()
    with pytest.raises(TryLater, match="--in"):
        carrier.fetch(ObjectRef(sha256=_OBJECT_ID, bytes=1), BytesIO())


def test_a_header_that_is_too_long_is_refused(bench: Bench) -> None:
    bench.post(bytes(1 << 20))
    _fails(bench, Refused, "too long")


def test_a_second_carrier_waits_for_the_first(bench: Bench) -> None:
    with exclusive(bench.places.courier / "courier.lock"):
        _fails(bench, TryLater, "Another process")


def test_a_silo_that_is_not_enrolled_is_told(bench: Bench) -> None:
    bench.places.enrolment.unlink()
    _fails(bench, Stop, "not enrolled")


def test_a_spoilt_request_is_written_anew(bench: Bench) -> None:
    bench.carry()
    (bench.stick / "up" / "a" / "request").write_bytes(b"spoilt")
    bench.carry()
    assert bench.asked() == 0


def _carrier(bench: Bench, *, back: bool = True) -> Folder:
    bearer = Bearer("a", "c", (bench.identity.courier,))
    log = TransportLog(bench.places.courier / "transport.ndjson")
    stick = Stick(bench.stick)
    return Folder(bearer, log, bench.clock, out=stick, back=stick if back else None)


def test_watching_carries_both_ways_and_logs_what_it_set_aside(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    envelope_id = bench.post(b"a signed header")
    bench.publish(0, 1)
    bench.place("down/a/Holiday.JPG", b"x")
    stop = threading.Event()
    places = (bench.places, bench.stick, stop)
    with caplog.at_level(logging.INFO):
        watching = threading.Thread(target=lambda: watch(*places, clock=bench.clock))
        watching.start()
        while not (bench.letters() and "request" in bench.up()):
            watching.join(0.05)
            assert watching.is_alive()
        stop.set()
        watching.join()
    assert f"{envelope_id}.header" in bench.up()
    said = [record.message for record in caplog.records]
    assert "set_aside" in said
    assert said[-1] == "courier_stopped"
    assert read_status(bench.places.courier / "status.json").waiting == 1


def test_a_trip_by_hand_shows_in_the_status(bench: Bench) -> None:
    bench.carry()
    shown = read_status(bench.places.courier / "status.json")
    assert shown.by_hand
    assert shown.updated == clock.to_text(_NOW)


def test_an_object_that_shrinks_while_it_is_copied_is_no_object() -> None:
    with pytest.raises(Refused, match="shorter"):
        _copy_exactly(BytesIO(b"half"), BytesIO(), 8)


def test_an_envelope_that_is_taken_out_meanwhile_is_passed_over(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    (bench.places.outbox / envelope_id / "header").unlink()
    assert bench.carry().waiting == 0


def test_a_blob_that_cannot_be_read_waits(bench: Bench) -> None:
    envelope_id = bench.post(b"a signed header")
    blob = bench.places.outbox / envelope_id / "blob"
    blob.unlink()
    blob.mkdir()
    _fails(bench, TryLater, "Cannot read")


def test_an_answer_that_cannot_be_written_down_is_taken_another_time(bench: Bench) -> None:
    bench.receipt(bench.post(b"a signed header"))
    bench.places.inbox.rename(bench.places.inbox.with_name("away"))
    _fails(bench, TryLater, "Cannot write an answer down")


def test_an_item_that_cannot_be_written_down_is_taken_another_time(bench: Bench) -> None:
    bench.publish(0, 1)
    bench.places.inbox.rename(bench.places.inbox.with_name("away"))
    _fails(bench, TryLater, "Cannot write to the inbox")


def test_an_object_that_is_here_already_is_not_copied_again(bench: Bench) -> None:
    Inbox(bench.places.inbox).object_path(_OBJECT_ID).write_bytes(_OBJECT)
    bench.publish(0, 1, objects=(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)),))
    assert bench.carry().brought == 1


def test_a_partial_object_of_an_odd_length_is_mended(bench: Bench) -> None:
    inbox = Inbox(bench.places.inbox)
    bench.place(f"objects/{_OBJECT_ID}", _OBJECT)
    bench.publish(0, 1, objects=(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)),))
    inbox.partial_path(_OBJECT_ID).write_bytes(_OBJECT + b"too long")
    assert bench.carry().brought == 1
    bench.publish(1, 2, objects=(ObjectRef(sha256=_OBJECT_ID, bytes=len(_OBJECT)),))
    inbox.object_path(_OBJECT_ID).unlink()
    inbox.partial_path(_OBJECT_ID).write_bytes(_OBJECT)  # whole, and a kill came before its name
    assert bench.carry().brought == 1
