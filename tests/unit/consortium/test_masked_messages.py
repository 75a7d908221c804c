"""Messages of a masked round at the door: what is not kept is refused, each by its own name."""

import pytest
from sqlalchemy import select

from agent.clock import from_text
from agent.errors import Stop
from agent.files import sha256_bytes
from agent.wire.masking.carriage import MAX_MESSAGE_BYTES
from agent.wire.masking.documents import Ack, RoundKeys, Unmask
from agent.wire.signed import parse, sign
from consortium.masked_messages import is_message, judge_message, kept, setting_of
from consortium.store import latest_round
from consortium.tables import MaskedRow, PublishedRow
from tests.unit.consortium.conftest import House
from tests.unit.consortium.test_masked import GROUPS, Masked
from tests.unit.consortium.test_masked import masked as masked

_ROUND = "p1.r1.a1"


def _keys(masked: Masked, name: str, **changes: str) -> bytes:
    """Returns a silo's signed keys, with fields as no silo of ours would set them."""
    row = masked.machine(name).keys(GROUPS, masked.house.now)
    keys = RoundKeys.parse(parse(row.message).payload).model_copy(update=changes)
    return _signed(masked.house, keys)


def _ack(house: House, name: str, upload_set_sha256: str = "00" * 32) -> bytes:
    ack = Ack(
        consortium="demo",
        silo=name,
        round_id=_ROUND,
        upload_set_sha256=upload_set_sha256,
        created="2026-03-01T12:00:00Z",
    )
    return _signed(house, ack)


def _shares(house: House, name: str) -> bytes:
    return _signed(
        house,
        Unmask(
            consortium="demo",
            silo=name,
            round_id=_ROUND,
            upload_set_sha256="00" * 32,
            own={},
            pairs={},
        ),
    )


def _signed(house: House, message: RoundKeys | Ack | Unmask) -> bytes:
    return sign(message.kind, message.to_bytes(), house.silos[message.silo].sign)


def _until_uploads(masked: Masked, *away: str) -> None:
    masked.keys()
    masked.house.settle()
    masked.upload(*away)
    if away:
        masked.house.later(150.1)
    masked.house.settle()


def test_only_what_silos_say_in_a_masked_round_is_a_message(masked: Masked) -> None:
    assert is_message(_keys(masked, "a"))
    assert not is_message(sign("declined", b"{}", masked.house.silos["a"].sign))


def test_a_message_beyond_the_limit_is_not_read(masked: Masked) -> None:
    signer = masked.house.silos["a"].sign
    huge = sign("masked_keys", bytes(MAX_MESSAGE_BYTES), signer)
    assert masked.say("a", huge).code == "too_large"


def test_a_round_that_nobody_opened_is_unknown(masked: Masked) -> None:
    assert masked.say("a", _keys(masked, "a", round_id="p9.r1.a1")).code == "unknown_round"


def test_a_round_without_masks_takes_no_message(running: House) -> None:
    assert Masked(running).say("a", _shares(running, "a")).code == "not_masked"


def test_an_attempt_that_was_given_up_takes_nothing_more(masked: Masked) -> None:
    late = _keys(masked, "d")
    masked.house.later(100.1)
    masked.house.settle()
    assert masked.say("d", late).code == "round_closed"


def test_after_its_end_a_step_takes_nothing_more_though_nobody_closed_it(masked: Masked) -> None:
    late = _keys(masked, "d")
    masked.house.later(100.0)
    assert masked.say("d", late).code == "too_late"
    with masked.house.store.reading() as session:
        assert kept(session, _ROUND, "masked_keys", "d") is None


def test_a_silo_speaks_for_itself_and_says_one_thing(masked: Masked) -> None:
    first, other = _keys(masked, "a"), _keys(masked, "a")
    assert masked.say("b", first).code == "wrong_silo"
    assert masked.say("a", first).kind == "receipt"
    assert masked.say("a", first).kind == "receipt"
    assert masked.say("a", other).code == "equivocation"
    with masked.house.store.reading() as session:
        row = kept(session, _ROUND, "masked_keys", "a")
    assert row is not None
    assert row.content == first


def test_what_is_kept_is_kept_once(masked: Masked) -> None:
    """A receipt answers before it comes to this; without one the same bytes are no new word."""
    house, said = masked.house, _keys(masked, "a")
    for _ in range(2):
        with house.store.writing() as session:
            assert judge_message(session, said, "a", house.now) == _ROUND
    with house.store.reading() as session:
        rows = session.scalars(select(MaskedRow)).all()
    assert [(row.step, row.silo, row.content) for row in rows] == [("masked_keys", "a", said)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"manifest_sha256": "00" * 32}, "wrong_manifest"),
        ({"roster_sha256": "00" * 32}, "wrong_roster"),
        ({"mask_key": "00" * 32}, "bad_key"),
        ({"share_key": "00" * 32}, "bad_key"),
    ],
)
def test_keys_of_another_round_or_model_are_not_kept(
    masked: Masked, changes: dict[str, str], code: str
) -> None:
    assert masked.say("a", _keys(masked, "a", **changes)).code == code
    with masked.house.store.reading() as session:
        assert kept(session, _ROUND, "masked_keys", "a") is None


def test_nothing_is_acknowledged_or_unmasked_before_its_step(masked: Masked) -> None:
    masked.keys()
    masked.house.settle()
    assert masked.say("a", _ack(masked.house, "a")).code == "out_of_order"
    assert masked.say("a", _shares(masked.house, "a")).code == "out_of_order"


def test_an_acknowledgement_of_other_uploads_is_not_kept(masked: Masked) -> None:
    _until_uploads(masked)
    assert masked.say("a", _ack(masked.house, "a")).code == "wrong_upload_set"


def test_when_a_step_ended_early_its_message_is_too_late_before_its_time(masked: Masked) -> None:
    """Everybody uploaded at once, so that acknowledging was over a step later, not at its end."""
    _until_uploads(masked)
    masked.ack("d")
    masked.house.later(50.1)
    masked.house.settle()
    with masked.house.store.reading() as session:
        assert kept(session, _ROUND, "acks") is not None
    assert masked.house.now < from_text(masked.setting.terms.acks_by)
    uploads = sha256_bytes(masked.handout("d", "uploads").set_bytes)
    assert masked.say("d", _ack(masked.house, "d", uploads)).code == "too_late"


def test_a_lost_roster_stops_the_round(masked: Masked) -> None:
    with masked.house.store.writing() as session:
        session.query(PublishedRow).filter(PublishedRow.kind == "roster").delete()
    with masked.house.store.reading() as session:
        row = latest_round(session, "p1")
        assert row is not None
        with pytest.raises(Stop, match="lost the roster"):
            setting_of(session, row)
