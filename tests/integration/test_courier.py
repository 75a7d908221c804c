"""The courier against a real HTTP server that drops, cuts, fails and delays."""

import base64
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from agent import clock
from agent.boxes import Inbox, Outbox
from agent.errors import OnggiError, Refused, Stop, TryLater
from agent.exchange.courier import carry, stop_on_signals
from agent.exchange.downlink import Downlink
from agent.exchange.https import Https
from agent.exchange.lanes import Pace
from agent.exchange.places import Places
from agent.exchange.session import Link, Peer, Timeouts
from agent.exchange.status import read_status
from agent.exchange.transport_log import TransportLog, verify
from agent.exchange.uplink import OFFER_AGAIN_S, Uplink
from agent.files import sha256_bytes, write_atomic
from agent.keys import SigningIdentity, make_identity
from agent.wire.documents import Enrolment, Receipt, Refusal
from agent.wire.request import (
    NONCE,
    RECEIPT_TYPE,
    REFUSAL_TYPE,
    SIGNATURE,
    SILO,
    TIME,
    request_message,
)
from agent.wire.signed import check_signature, sign

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_SILO = "silo-a"
_BLOB = bytes(range(256)) * 4096 * 3 + b"tail"  # four pieces of an upload, the last a short one
_HEADER = b"a signed header"
_ID = sha256_bytes(_HEADER)
_OBJECT = bytes(range(255, -1, -1)) * 3000
_OBJECT_ID = sha256_bytes(_OBJECT)

Trick = Callable[["_Handler", bytes], bool]


@dataclass
class Aggregator:
    """What the fake aggregator holds, and the tricks it plays on the next requests.

    A trick sees the request and its body first; where it returns True the request is dealt with.
    """

    public_key: str
    signer: SigningIdentity
    tricks: list[Trick] = field(default_factory=list)
    headers: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)
    completions: list[str] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    feed: list[dict[str, object]] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def receipt(self, envelope_id: str) -> bytes:
        document = Receipt(
            consortium="c",
            silo=_SILO,
            envelope_id=envelope_id,
            round_id="r-1",
            log_index=1,
            received=clock.to_text(_NOW),
        )
        return sign("receipt", document.to_bytes(), self.signer)

    def refusal(self, envelope_id: str) -> bytes:
        document = Refusal(
            consortium="c",
            silo=_SILO,
            envelope_id=envelope_id,
            code="round_closed",
            reason="It is closed.",
            refused=clock.to_text(_NOW),
        )
        return sign("refusal", document.to_bytes(), self.signer)

    def publish(self, number: int, document: bytes, *objects: bytes, kind: str = "plan") -> None:
        for content in objects:
            self.objects[sha256_bytes(content)] = content
        refs = [{"sha256": sha256_bytes(c), "bytes": len(c)} for c in objects]
        text = base64.b64encode(document).decode()
        self.feed.append({"number": number, "kind": kind, "document": text, "objects": refs})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    aggregator: Aggregator

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with self.aggregator.lock:
            self.aggregator.seen.append(f"{self.command} {self.path}")
            self.aggregator.bodies.append(len(body))
            self._check(body)
            trick = self.aggregator.tricks.pop(0) if self.aggregator.tricks else None
        if trick is None or not trick(self, body):
            self._honest(body)

    do_GET = do_PUT = _serve  # noqa: N815

    def _check(self, body: bytes) -> None:
        silo, time, nonce = (self.headers[name] for name in (SILO, TIME, NONCE))
        message = request_message(self.command, self.path, silo, time, nonce, sha256_bytes(body))
        signature = bytes.fromhex(self.headers[SIGNATURE])
        check_signature(self.aggregator.public_key, message, signature)
        assert nonce not in self.aggregator.nonces
        self.aggregator.nonces.add(nonce)

    def send(self, status: int, body: bytes, kind: str = "application/json", **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _honest(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        words = parts.path.split("/")[2:]
        with self.aggregator.lock:
            if words[0] == "feed":
                self._feed(query["after"])
            elif words[0] == "repository":
                self._object(words[1])
            elif words[2] == "header":
                self._header(words[1], body)
            else:
                self._blob(words[1], body, query["offset"])

    def _header(self, envelope_id: str, body: bytes) -> None:
        held = self.aggregator
        if envelope_id in held.refuse:
            self.send(409, held.refusal(envelope_id), REFUSAL_TYPE)
        elif envelope_id in held.answers:
            self.send(200, held.answers[envelope_id], RECEIPT_TYPE)
        else:
            held.headers[envelope_id] = body
            offset = len(held.blobs.setdefault(envelope_id, b""))
            self.send(200, json.dumps({"state": "known", "offset": offset}).encode())

    def _blob(self, envelope_id: str, body: bytes, offset: int) -> None:
        held = self.aggregator
        if offset != len(held.blobs[envelope_id]):
            place = str(len(held.blobs[envelope_id]))
            problem = b'{"code":"wrong_offset","detail":"Go on elsewhere."}'
            self.send(409, problem, "application/problem+json", Onggi_Offset=place)
            return
        held.blobs[envelope_id] += body
        if len(held.blobs[envelope_id]) < held.sizes.get(envelope_id, len(_BLOB)):
            self.send(202, json.dumps({"offset": len(held.blobs[envelope_id])}).encode())
            return
        held.completions.append(envelope_id)
        held.answers[envelope_id] = held.receipt(envelope_id)
        self.send(200, held.answers[envelope_id], RECEIPT_TYPE)

    def _feed(self, after: int) -> None:
        items = [item for item in self.aggregator.feed if int(str(item["number"])) > after]
        last = int(str(self.aggregator.feed[-1]["number"])) if self.aggregator.feed else 0
        self.send(200, json.dumps({"items": items, "last": last}).encode())

    def _object(self, name: str) -> None:
        content = self.aggregator.objects.get(name)
        if content is None:
            self.send(404, b"{}", "application/problem+json")
            return
        wanted = self.headers.get("Range", "")
        self.aggregator.ranges.append(wanted)
        if not wanted:
            self.send(200, content, "application/octet-stream")
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        shown = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(206, content[start:], "application/octet-stream", Content_Range=shown)


def _status(code: int) -> Trick:
    def trick(handler: _Handler, body: bytes) -> bool:
        handler.send(
            code, b'{"code":"some_code","detail":"Ask again."}', "application/problem+json"
        )
        return True

    return trick


def _drop(handler: _Handler, body: bytes) -> bool:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def _answer_lost(handler: _Handler, body: bytes) -> bool:
    """The request takes effect, and its answer never arrives."""
    handler.wfile = open("/dev/null", "wb")  # noqa: SIM115, PTH123
    handler._honest(body)
    return _drop(handler, body)


def _slow(handler: _Handler, body: bytes) -> bool:
    threading.Event().wait(5.0)
    return _drop(handler, body)


def _cut(handler: _Handler, body: bytes) -> bool:
    """Half of an object, under the length of the whole."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(_OBJECT)))
    handler.end_headers()
    handler.wfile.write(_OBJECT[: len(_OBJECT) // 2])
    handler.wfile.flush()
    return _drop(handler, body)


def _says(status: int, body: bytes, kind: str = "application/json", **headers: str) -> Trick:
    def trick(handler: _Handler, _body: bytes) -> bool:
        handler.send(status, body, kind, **headers)
        return True

    return trick


def _pass(handler: _Handler, body: bytes) -> bool:
    return False


@dataclass
class Bench:
    """A silo's folders, an aggregator, and the parts of a courier between them."""

    places: Places
    aggregator: Aggregator
    url: str
    log: TransportLog
    link: Link

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.places.outbox)

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.places.inbox)

    def uplink(self) -> Uplink:
        memory = self.places.courier / "answered.json"
        return Uplink(Https(self.link), self.outbox, self.inbox, memory)

    def downlink(self, *, canary: bool = False, **more: int) -> Downlink:
        memory = self.places.courier / "feed.json"
        return Downlink(Https(self.link, poll_s=0), self.inbox, memory, canary=canary, **more)

    def post(self, header: bytes = _HEADER, blob: bytes = _BLOB) -> str:
        def write(sink: object) -> bytes:
            sink.write(blob)  # type: ignore[attr-defined]
            return header

        envelope_id = self.outbox.stage(write)
        self.outbox.post(envelope_id)
        self.aggregator.sizes[envelope_id] = len(blob)
        return envelope_id

    def letters(self) -> list[tuple[str, bytes]]:
        return [(letter.kind, letter.content) for letter in self.inbox.letters()]

    def drive(self, step: Callable[[datetime], int], tries: int = 30) -> int:
        """Steps until one succeeds, as the courier's loop does; returns how many failed."""
        for failed in range(tries):
            try:
                step(_NOW)
            except (TryLater, Refused):
                continue
            return failed
        raise AssertionError("no step succeeded")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    places = Places.under(tmp_path)
    identity = make_identity(places.keys, places.courier)
    for folder in (places.trust, places.outbox, places.inbox / "objects"):
        folder.mkdir(parents=True)
    aggregator = Aggregator(identity.courier.public_hex, identity.sign)
    handler = type("Handler", (_Handler,), {"aggregator": aggregator})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    note = Enrolment(
        silo=_SILO, consortium="c", url=url, root_sha256="00" * 32, enrolled=clock.to_text(_NOW)
    )
    write_atomic(places.enrolment, note.to_bytes())
    with TransportLog(places.courier / "transport.ndjson") as log:
        link = Link(
            Peer(url, None),
            _SILO,
            identity.courier,
            transport_log=log,
            clock=clock.now,
            timeouts=Timeouts(30.0, 30.0),
        )
        yield Bench(places, aggregator, url, log, link)
        link.close()
    server.shutdown()
    server.server_close()


def _code(step: Callable[[datetime], int]) -> str:
    with pytest.raises(OnggiError) as caught:
        step(_NOW)
    return caught.value.code if isinstance(caught.value, Refused) else type(caught.value).__name__


def test_an_envelope_is_delivered_in_pieces_and_its_receipt_comes_in(bench: Bench) -> None:
    bench.post()
    uplink = bench.uplink()
    assert uplink.step(_NOW) == 1
    assert uplink.left() == 0
    assert bench.aggregator.blobs[_ID] == _BLOB
    assert bench.aggregator.headers[_ID] == _HEADER
    assert max(bench.aggregator.bodies) == 1 << 20
    receipt = bench.aggregator.receipt(_ID)
    assert bench.letters() == [
        ("delivered", b'{"envelope_id":"%b"}' % _ID.encode()),
        ("receipt", receipt),
    ]


def test_an_answered_envelope_is_not_sent_again_though_the_keeper_sleeps(bench: Bench) -> None:
    bench.post()
    bench.uplink().step(_NOW)
    requests = len(bench.aggregator.seen)
    assert bench.uplink().step(_NOW) == 0
    assert len(bench.aggregator.seen) == requests
    assert [parcel.envelope_id for parcel in bench.outbox.parcels()] == [_ID]


def test_an_answer_that_the_keeper_did_not_believe_is_asked_for_again(bench: Bench) -> None:
    bench.post()
    bench.uplink().step(_NOW)
    assert bench.uplink().step(_NOW + timedelta(seconds=OFFER_AGAIN_S + 1)) == 1
    assert bench.aggregator.completions == [_ID]


def test_a_refusal_ends_a_delivery(bench: Bench) -> None:
    bench.aggregator.refuse.add(bench.post())
    assert bench.uplink().step(_NOW) == 1
    assert bench.letters() == [("refusal", bench.aggregator.refusal(_ID))]
    assert bench.uplink().step(_NOW) == 0


@pytest.mark.parametrize("trick", [_drop, _answer_lost, _status(500), _status(503), _status(429)])
@pytest.mark.parametrize("place", range(5))
def test_trouble_at_any_request_of_an_upload_loses_and_doubles_nothing(
    bench: Bench, trick: Trick, place: int
) -> None:
    bench.post()
    bench.aggregator.tricks = [_pass] * place + [trick]
    assert bench.drive(lambda now: bench.uplink().step(now)) == 1
    assert bench.aggregator.blobs[_ID] == _BLOB
    assert bench.aggregator.completions == [_ID]
    assert bench.letters()[-1] == ("receipt", bench.aggregator.receipt(_ID))


def test_an_upload_goes_on_where_it_broke_off(bench: Bench) -> None:
    bench.post()
    bench.aggregator.tricks = [_pass, _pass, _pass, _drop]
    with pytest.raises(TryLater):
        bench.uplink().step(_NOW)
    assert len(bench.aggregator.blobs[_ID]) == 2 << 20
    bench.uplink().step(_NOW)
    pieces = [target for target in bench.aggregator.seen if "/blob" in target]
    assert [target.rpartition("=")[2] for target in pieces] == [
        "0",
        str(1 << 20),
        str(2 << 20),
        str(2 << 20),
        str(3 << 20),
    ]


def test_another_offset_is_followed(bench: Bench) -> None:
    bench.post()
    bench.aggregator.blobs[_ID] = _BLOB[:1000]
    bench.aggregator.tricks = [_says(200, b'{"state":"known","offset":0}')]
    assert bench.uplink().step(_NOW) == 1
    assert bench.aggregator.blobs[_ID] == _BLOB


def test_a_slow_answer_is_given_up(bench: Bench) -> None:
    bench.post()
    bench.link._timeouts = Timeouts(30.0, 0.5)
    bench.aggregator.tricks = [_slow]
    with pytest.raises(TryLater, match="in time"):
        bench.uplink().step(_NOW)
    assert bench.uplink().step(_NOW) == 1


@pytest.mark.parametrize(
    "answer",
    [
        _says(200, b"<html>Please log in</html>"),
        _says(200, b'{"offset":-1}'),
        _says(200, b'{"offset":"0"}'),
        _says(200, b"[]"),
        _says(200, b'{"offset":99999999}'),
        _says(200, b"junk", RECEIPT_TYPE),
        _says(409, b"junk", REFUSAL_TYPE),
        _says(302, b"", Location="http://127.0.0.1:1/"),
        _says(200, b"{}", Content_Encoding="gzip"),
    ],
)
def test_nonsense_in_the_aggregators_place_ends_no_delivery(bench: Bench, answer: Trick) -> None:
    bench.post()
    bench.aggregator.tricks = [answer]
    if _code(bench.uplink().step) == "TryLater":
        assert not bench.letters()
    bench.drive(bench.uplink().step)
    assert bench.aggregator.completions == [_ID]


def test_a_receipt_for_another_envelope_ends_no_delivery(bench: Bench) -> None:
    bench.post()
    bench.aggregator.tricks = [_says(200, bench.aggregator.receipt("ab" * 32), RECEIPT_TYPE)]
    with pytest.raises(TryLater, match="another envelope"):
        bench.uplink().step(_NOW)
    assert not bench.letters()


def test_an_aggregator_that_never_gets_on_is_left_alone(bench: Bench) -> None:
    bench.post()
    bench.aggregator.tricks = [_says(200, b'{"offset":0}')] * 20
    with pytest.raises(TryLater, match="in order"):
        bench.uplink().step(_NOW)
    assert len(bench.aggregator.seen) < 10


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "some_code"), (403, "some_code"), (404, "some_code"), (409, "some_code")],
)
def test_one_refused_parcel_does_not_hold_up_the_others(
    bench: Bench, status: int, code: str
) -> None:
    bench.post()
    bench.post(b"another header", b"another blob")
    bench.aggregator.tricks = [_status(status)]
    uplink = bench.uplink()
    assert _code(uplink.step) == code
    assert len(bench.aggregator.completions) == 1
    assert uplink.left() == 1
    uplink.step(_NOW)
    assert len(set(bench.aggregator.completions)) == 2


def test_a_parcel_that_the_keeper_takes_out_is_passed_over(bench: Bench) -> None:
    bench.post()
    (bench.places.outbox / _ID / "blob").unlink()
    assert bench.uplink().step(_NOW) == 0
    assert bench.aggregator.seen == []


def test_a_missing_outbox_is_trouble_for_later(bench: Bench) -> None:
    bench.places.outbox.rmdir()
    assert _code(bench.uplink().step) == "TryLater"


def test_an_item_arrives_after_its_objects(bench: Bench) -> None:
    bench.aggregator.publish(3, b"a plan", _OBJECT)
    bench.aggregator.publish(7, b"another")
    assert bench.downlink().step(_NOW) == 2
    assert bench.letters() == [("plan", b"a plan"), ("plan", b"another")]
    assert bench.inbox.object_path(_OBJECT_ID).read_bytes() == _OBJECT
    assert bench.downlink().step(_NOW) == 0
    assert bench.aggregator.seen[-1] == "GET /v1/feed?after=7&wait_s=0"


def test_an_object_goes_on_where_it_broke_off(bench: Bench) -> None:
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_pass, _cut]
    assert bench.drive(lambda now: bench.downlink().step(now)) == 1
    (resumed,) = bench.aggregator.ranges  # at most one piece of 64 KiB is fetched twice
    assert len(_OBJECT) // 2 - (64 << 10) <= int(resumed[6:-1]) <= len(_OBJECT) // 2
    assert bench.inbox.object_path(_OBJECT_ID).read_bytes() == _OBJECT
    assert bench.letters() == [("plan", b"a plan")]


@pytest.mark.parametrize(
    "trick",
    [_drop, _status(500), _cut, _says(206, b"x", Content_Range="bytes 9-9/10"), _says(416, b"")],
)
@pytest.mark.parametrize("held", [0, 1000, len(_OBJECT) + 5])
def test_trouble_with_an_object_loses_nothing(bench: Bench, trick: Trick, held: int) -> None:
    bench.inbox.partial_path(_OBJECT_ID).write_bytes((_OBJECT * 2)[:held])
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_pass, trick]
    bench.drive(lambda now: bench.downlink().step(now))
    assert bench.inbox.object_path(_OBJECT_ID).read_bytes() == _OBJECT
    assert not bench.inbox.partial_path(_OBJECT_ID).exists()


def test_a_server_that_knows_no_ranges_sends_the_whole(bench: Bench) -> None:
    bench.inbox.partial_path(_OBJECT_ID).write_bytes(_OBJECT[:1000])
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_pass, _says(200, _OBJECT)]
    assert bench.downlink().step(_NOW) == 1
    assert bench.inbox.object_path(_OBJECT_ID).read_bytes() == _OBJECT


def test_a_damaged_partial_object_is_fetched_afresh(bench: Bench) -> None:
    bench.inbox.partial_path(_OBJECT_ID).write_bytes(bytes(1000))
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    assert _code(bench.downlink().step) == "wrong_hash"
    assert bench.letters() == []
    assert bench.downlink().step(_NOW) == 1


def test_an_endless_object_is_stopped(bench: Bench) -> None:
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_pass, _says(200, _OBJECT * 3)]
    assert _code(bench.downlink().step) == "too_large"
    assert bench.inbox.partial_path(_OBJECT_ID).stat().st_size == 0


def test_a_poisonous_item_is_set_aside_and_the_next_arrive(bench: Bench) -> None:
    bench.aggregator.publish(1, b"poisonous", _OBJECT)
    bench.aggregator.publish(2, b"good")
    del bench.aggregator.objects[_OBJECT_ID]
    assert bench.drive(bench.downlink().step) == 4
    assert bench.letters() == [("plan", b"good")]


@contextmanager
def _full_after(size: int) -> Iterator[None]:
    """No file can grow beyond a size: a write breaks off in its middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_downloading_leaves_nothing_at_the_final_path(bench: Bench) -> None:
    bench.aggregator.publish(1, b"state", _OBJECT)
    final = bench.inbox.object_path(_OBJECT_ID)
    with _full_after(len(_OBJECT) // 2), pytest.raises(TryLater, match="Cannot write to the inbox"):
        bench.downlink().step(_NOW)
    assert bench.inbox.partial_path(_OBJECT_ID).stat().st_size == len(_OBJECT) // 2
    assert not final.exists()
    assert bench.letters() == []
    bench.drive(bench.downlink().step)  # somebody has made room
    assert final.read_bytes() == _OBJECT
    assert bench.aggregator.ranges == ["", f"bytes={len(_OBJECT) // 2}-"]


def test_what_is_for_canaries_alone_is_left_to_them(bench: Bench) -> None:
    bench.aggregator.publish(1, b"first", b"weights", kind="canary")
    bench.aggregator.publish(2, b"second", kind="stable")
    bench.drive(bench.downlink().step)
    assert [kind for kind, _ in bench.letters()] == ["stable"]
    assert not bench.inbox.object_path(sha256_bytes(b"weights")).exists()
    (bench.places.courier / "feed.json").unlink()
    bench.drive(bench.downlink(canary=True).step)
    assert [kind for kind, _ in bench.letters()] == ["canary", "stable"]
    assert bench.inbox.object_path(sha256_bytes(b"weights")).exists()


def test_an_object_over_the_limit_is_not_fetched(bench: Bench) -> None:
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    assert _code(bench.downlink(max_object_bytes=1000).step) == "too_large"
    assert not any("repository" in target for target in bench.aggregator.seen)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not_json"),
        (b"{}", "malformed"),
        (b'{"items":[],"last":"x"}', "malformed"),
        (b'{"items":[{"number":1,"kind":"plan","document":"*"}],"last":1}', "bad_feed"),
        (b'{"items":[{"number":1000000000,"kind":"plan","document":""}],"last":1}', "bad_feed"),
        (
            b'{"items":[{"number":2,"kind":"plan","document":""},'
            b'{"number":2,"kind":"plan","document":""}],"last":2}',
            "bad_feed",
        ),
        (b" " * (5 << 20), "too_large"),
    ],
)
def test_a_bad_feed_is_refused(bench: Bench, body: bytes, code: str) -> None:
    bench.aggregator.tricks = [_says(200, body)]
    assert _code(bench.downlink().step) == code
    assert bench.letters() == []


def test_every_request_is_in_the_transport_log(bench: Bench) -> None:
    bench.post()
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_drop, _status(500)]
    bench.drive(bench.uplink().step)
    bench.drive(bench.downlink().step)
    path = bench.places.courier / "transport.ndjson"
    totals = verify(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [f"{line['method']} {line['target']}" for line in lines] == bench.aggregator.seen
    assert [line["up"] for line in lines] == bench.aggregator.bodies
    assert [line["status"] for line in lines[:2]] == [0, 500]
    assert totals == bench.log.totals
    assert totals.bytes_up == sum(bench.aggregator.bodies)


def test_an_aggregator_that_is_not_there_is_asked_later(bench: Bench) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    key = make_identity(bench.places.keys, bench.places.courier).courier
    link = Link(Peer(url, None), _SILO, key, transport_log=bench.log, clock=clock.now)
    with pytest.raises(TryLater, match="cannot be reached"):
        link.ask("GET", "/v1/feed")
    link.close()
    assert link.last_contact is None


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen")


_PACE = Pace(outbox_s=0.05, poll_s=0, idle_s=0.05, retry_first_s=0.05, retry_cap_s=0.2)


def test_the_courier_works_both_ways_and_tells_its_status(bench: Bench) -> None:
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_drop, _status(500), _drop, _status(503)]
    bench.post()
    bench.log.close()
    stop = threading.Event()
    runner = threading.Thread(
        target=carry,
        args=(bench.places, stop),
        kwargs={"clock": clock.now, "pace": _PACE},
        daemon=True,
    )
    runner.start()
    status = bench.places.courier / "status.json"
    _wait_for(lambda: len(bench.letters()) == 3)
    _wait_for(lambda: read_status(status).bytes_up >= len(_HEADER) + len(_BLOB))
    with pytest.raises(TryLater, match="Another process"):
        carry(bench.places, stop, clock=clock.now)
    stop.set()
    runner.join()
    shown = read_status(status)
    assert (shown.waiting, shown.up_error) == (0, "")
    assert shown.last_contact > clock.to_text(_NOW)
    assert shown.last_error
    assert bench.aggregator.completions == [_ID]
    verify(bench.places.courier / "transport.ndjson")


def test_a_silo_that_is_not_enrolled_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="onggi enroll"):
        carry(Places.under(tmp_path), threading.Event(), clock=clock.now)


_PROGRAM = """
import sys
from pathlib import Path
from agent import clock
from agent.exchange.courier import carry, stop_on_signals
from agent.exchange.lanes import Pace
from agent.exchange.places import Places
pace = Pace(outbox_s=0.02, poll_s=0, idle_s=0.02, retry_first_s=0.05, retry_cap_s=0.1)
stop = stop_on_signals()
print("up", flush=True)
carry(Places.under(Path(sys.argv[1])), stop, clock=clock.now, pace=pace)
"""


def _courier(bench: Bench) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", _PROGRAM, str(bench.places.courier.parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _end(process: "subprocess.Popen[bytes]") -> int:
    assert process.stdout is not None
    process.stdout.close()
    return process.wait()


@pytest.mark.slow
def test_killed_at_many_moments_it_doubles_and_loses_nothing(bench: Bench) -> None:
    bench.log.close()
    ids = [bench.post(b"header %d" % n, _BLOB) for n in range(3)]
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    for moments in range(8):
        process = _courier(bench)
        threading.Event().wait(0.02 * moments)
        process.kill()
        _end(process)
    process = _courier(bench)
    _wait_for(lambda: len(bench.letters()) >= 7)
    process.terminate()
    assert _end(process) == 0
    assert sorted(bench.aggregator.completions) == sorted(ids)
    assert all(bench.aggregator.blobs[name] == _BLOB for name in ids)
    assert len(bench.letters()) == 7
    assert bench.inbox.object_path(_OBJECT_ID).read_bytes() == _OBJECT
    verify(bench.places.courier / "transport.ndjson")


def test_a_signed_refusal_ends_a_delivery_whatever_its_status(bench: Bench) -> None:
    envelope_id = bench.post()
    bench.aggregator.tricks = [_says(403, bench.aggregator.refusal(envelope_id), REFUSAL_TYPE)]
    assert bench.uplink().step(_NOW) == 1
    assert [kind for kind, _ in bench.letters()] == ["refusal"]


def test_a_feed_that_is_not_there_is_the_aggregators_refusal(bench: Bench) -> None:
    bench.aggregator.tricks = [_status(404)]
    assert _code(bench.downlink().step) == "some_code"


def test_a_refusal_of_an_object_that_breaks_off_is_asked_again(bench: Bench) -> None:
    def cut(handler: _Handler, body: bytes) -> bool:
        handler.send_response(404)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.wfile.flush()
        return _drop(handler, body)

    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_pass, cut]
    assert _code(bench.downlink().step) == "TryLater"


def test_an_overlong_header_is_not_sent(bench: Bench) -> None:
    bench.post(bytes(1 << 20))
    assert _code(bench.uplink().step) == "bad_header"
    assert bench.aggregator.seen == []


def test_the_carrier_tells_what_its_link_did(bench: Bench) -> None:
    carrier = Https(bench.link)
    seen = [carrier.last_contact]
    bench.downlink().step(_NOW)
    seen.append(carrier.last_contact)
    assert seen[0] is None
    assert seen[1] is not None
    assert carrier.totals.requests == 1


def test_a_signal_only_sets_the_event() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        stop = stop_on_signals()
        assert not stop.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_set()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_shorter_object_than_was_told_is_asked_for_again(bench: Bench) -> None:
    bench.aggregator.publish(1, b"a plan", _OBJECT)
    bench.aggregator.tricks = [_pass, _says(200, _OBJECT[:10])]
    assert _code(bench.downlink().step) == "TryLater"
    assert bench.downlink().step(_NOW) == 1
    assert bench.inbox.object_path(_OBJECT_ID).read_bytes() == _OBJECT
