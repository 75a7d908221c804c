"""Every refusal at the door by its name, and what a kill leaves of an upload."""

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import new_signing
from agent.wire.documents import Receipt, Refusal
from agent.wire.signed import parse
from consortium.answers import MAX_KEPT_HEADERS, Answer
from consortium.envelopes import Known, WrongOffset
from consortium.tables import AnswerRow

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House, Sealed


def _code(answer: object) -> str:
    assert isinstance(answer, Answer)
    assert answer.kind == "refusal"
    assert Refusal.parse(parse(answer.document).payload).code == answer.code
    return answer.code


def test_a_receipt_names_the_envelope_and_its_place_in_the_log(running: "House") -> None:
    receipts = []
    for name in "ab":
        sealed = running.seal(name)
        answer = running.deliver(name, sealed)
        receipts.append(Receipt.parse(parse(answer.document).payload))
        assert receipts[-1].envelope_id == sealed.envelope_id
    assert [receipt.log_index for receipt in receipts] == [1, 2]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("wrong_consortium", {"consortium": "other"}),
        ("unknown_round", {"round_id": "p1.r9.a1"}),
        ("wrong_plan", {"plan_id": "p2"}),
        ("wrong_attempt", {"attempt": 2}),
        ("wrong_base", {"base_sha256": "11" * 32}),
        ("wrong_features", {"feature_sha256": "11" * 32}),
        ("wrong_reference", {"reference_sha256": "11" * 32}),
        ("wrong_recipient", {"recipient": "11" * 32}),
        ("expired", {"expires": "2026-03-01T12:00:00.000000Z"}),
        ("unknown_extension", {"crit": ("later",)}),
        ("wrong_silo", {"silo": "b"}),
    ],
)
def test_refused_by_what_the_header_says(
    running: "House", code: str, changes: dict[str, object]
) -> None:
    sealed = running.seal("a", changes=changes)
    first = running.deliver("a", sealed)
    assert _code(first) == code
    running.restart()
    running.later(5)
    assert running.deliver("a", sealed) == first, "the same question gets the same bytes"


def test_refused_when_another_silos_courier_brings_it(running: "House") -> None:
    sealed = running.seal("a")
    assert _code(running.deliver("b", sealed)) == "wrong_silo"
    # Or else any member could burn another's envelope by bringing it first.
    assert running.deliver("a", sealed).kind == "receipt"


def test_refused_when_a_stranger_signed_it(running: "House") -> None:
    sealed = running.seal("a", signer=new_signing("sign"))
    assert _code(running.deliver("a", sealed)) == "unknown_signer"


@pytest.mark.parametrize("position", [30, -1])
def test_refused_when_the_header_was_altered(running: "House", position: int) -> None:
    sealed = running.seal("a")
    header = bytearray(sealed.header)
    header[position] ^= 1
    altered = bytes(header)
    answer = running.desk.put_header(sha256_bytes(altered), "a", altered, running.now)
    assert _code(answer) == "bad_signature"


def test_refused_when_it_is_no_header(running: "House") -> None:
    answer = running.desk.put_header(sha256_bytes(b"?"), "a", b"?", running.now)
    assert _code(answer) == "bad_header"


def test_refused_when_the_silo_takes_no_part(running: "House") -> None:
    running.enrol("d")
    assert _code(running.deliver("d", running.seal("d"))) == "not_participant"


def test_refused_when_larger_than_the_network(running: "House") -> None:
    assert _code(running.deliver("a", running.seal("a", bytes(1 << 20)))) == "too_large"


def test_refused_when_the_round_is_closed(running: "House") -> None:
    late = running.seal("c")
    for name in "ab":
        running.deliver(name, running.seal(name))
    running.later(101)
    running.settle()
    assert _code(running.deliver("c", late)) == "round_closed"


def test_a_replay_is_answered_as_before_even_after_the_round(running: "House") -> None:
    sealed = {name: running.seal(name) for name in "abc"}
    receipts = {name: running.deliver(name, sealed[name]) for name in "abc"}
    running.settle()
    for name in "abc":
        assert running.deliver(name, sealed[name]) == receipts[name]
        piece = running.desk.put_piece(sealed[name].envelope_id, name, 0, b"x", running.now)
        assert piece == receipts[name]


def test_a_second_update_for_one_round_is_equivocation(running: "House") -> None:
    first, second = running.seal("a"), running.seal("a")
    assert running.deliver("a", first).kind == "receipt"
    assert _code(running.deliver("a", second)) == "equivocation"
    assert running.deliver("a", first).kind == "receipt"


def test_an_altered_blob_is_refused(running: "House") -> None:
    sealed = running.seal("a")
    running.desk.put_header(sealed.envelope_id, "a", sealed.header, running.now)
    altered = sealed.blob[:-1] + bytes([sealed.blob[-1] ^ 1])
    answer = running.desk.put_piece(sealed.envelope_id, "a", 0, altered, running.now)
    assert _code(answer) == "bad_blob"
    assert list(running.folder.blobs.iterdir()) == []


def test_an_overlong_blob_is_refused(running: "House") -> None:
    sealed = running.seal("a")
    running.desk.put_header(sealed.envelope_id, "a", sealed.header, running.now)
    answer = running.desk.put_piece(sealed.envelope_id, "a", 0, sealed.blob + b"x", running.now)
    assert _code(answer) == "bad_blob"


def test_a_wrong_id_is_no_envelope(running: "House") -> None:
    sealed = running.seal("a")
    with pytest.raises(Refused, match="wrong_id"):
        running.desk.put_header("00" * 32, "a", sealed.header, running.now)


def test_the_header_comes_first_and_from_its_owner(running: "House") -> None:
    sealed = running.seal("a")
    with pytest.raises(Refused, match="unknown_envelope"):
        running.desk.put_piece(sealed.envelope_id, "a", 0, sealed.blob, running.now)
    running.desk.put_header(sealed.envelope_id, "a", sealed.header, running.now)
    with pytest.raises(Refused, match="unknown_envelope"):
        running.desk.put_piece(sealed.envelope_id, "b", 0, sealed.blob, running.now)
    assert running.desk.offset(sealed.envelope_id, "b") is None


def _pieces(house: "House", sealed: "Sealed", size: int) -> Answer:
    offset = 0
    while True:
        known = house.desk.put_header(sealed.envelope_id, "a", sealed.header, house.now)
        assert isinstance(known, Known)
        assert known.offset == offset == house.desk.offset(sealed.envelope_id, "a")
        piece = sealed.blob[offset : offset + size]
        answer = house.desk.put_piece(sealed.envelope_id, "a", offset, piece, house.now)
        if isinstance(answer, Answer):
            return answer
        assert isinstance(answer, Known)
        offset = answer.offset
        house.restart()


def test_an_upload_goes_on_where_a_kill_cut_it(running: "House") -> None:
    sealed = running.seal("a")
    assert _pieces(running, sealed, len(sealed.blob) // 5 + 1).kind == "receipt"
    assert (running.folder.blobs / sealed.envelope_id).read_bytes() == sealed.blob


def test_what_was_never_acknowledged_is_written_over(running: "House") -> None:
    sealed = running.seal("a")
    running.desk.put_header(sealed.envelope_id, "a", sealed.header, running.now)
    running.desk.put_piece(sealed.envelope_id, "a", 0, sealed.blob[:100], running.now)
    with (running.folder.blobs / sealed.envelope_id).open("ab") as torn:
        torn.write(bytes(500))  # a power cut between the write and the commit
    running.restart()
    answer = running.desk.put_piece(sealed.envelope_id, "a", 100, sealed.blob[100:], running.now)
    assert isinstance(answer, Answer)
    assert answer.kind == "receipt"


def test_a_piece_that_does_not_join_is_told_where_to_go_on(running: "House") -> None:
    sealed = running.seal("a")
    running.desk.put_header(sealed.envelope_id, "a", sealed.header, running.now)
    running.desk.put_piece(sealed.envelope_id, "a", 0, sealed.blob[:100], running.now)
    for offset in (0, 99, 101):
        answer = running.desk.put_piece(sealed.envelope_id, "a", offset, b"x", running.now)
        assert answer == WrongOffset(100)


def _stored(house: "House") -> int:
    with house.store.reading() as session:
        return session.scalar(select(func.count()).select_from(AnswerRow)) or 0


def test_refused_headers_past_a_bound_are_answered_but_not_kept(running: "House") -> None:
    for number in range(MAX_KEPT_HEADERS + 5):
        junk = b"junk %d" % number
        answer = running.desk.put_header(sha256_bytes(junk), "a", junk, running.now)
        assert _code(answer) == "bad_header"
    assert _stored(running) == MAX_KEPT_HEADERS
    assert _code(running.deliver("a", running.seal("a", changes={"attempt": 2}))) == "wrong_attempt"
    assert _stored(running) == MAX_KEPT_HEADERS + 1, "the round has a bound of its own"
    assert _code(running.desk.put_header(sha256_bytes(b"?"), "b", b"?", running.now))
    assert _stored(running) == MAX_KEPT_HEADERS + 2, "and so has each silo"
    assert running.deliver("a", running.seal("a")).kind == "receipt"
