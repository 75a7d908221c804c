"""A masked round at the aggregator: sums come out, nothing else does, and refusals by name."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from agent.errors import Refused
from agent.wire.masking.aggregator import AggregatorRound
from agent.wire.masking.documents import Ack, RoundKeys, Unmask, Upload
from agent.wire.masking.sums import replay
from agent.wire.signed import parse, sign
from tests.kit.consortium import START
from tests.kit.masking import (
    ACKS_BY,
    DEADLINE,
    GROUPS,
    HOUR,
    KEYS,
    KEYS_BY,
    RULES,
    UNMASK_BY,
    Round,
    name,
    plain_sum,
    setting,
    update,
)


def signed(message: RoundKeys | Upload | Ack | Unmask, silo: str) -> bytes:
    return sign(message.kind, message.to_bytes(), KEYS[silo])


def finished(
    silos: int,
    *,
    keys: Sequence[int] = (),
    uploads: Sequence[int] = (),
    acks: Sequence[int] = (),
    shares: Sequence[int] = (),
) -> None:
    """Runs a round in which these silos are away at these steps, and checks its sum."""
    one = Round(setting(silos))
    key_set = one.step_keys(*map(name, keys))
    upload_set = one.step_uploads(key_set, *map(name, uploads))
    ack_set = one.step_acks(upload_set, *map(name, (*acks,)))
    one.step_shares(ack_set, *map(name, shares))
    done = one.aggregator.publish(one.vector_of, UNMASK_BY)
    assert done is not None
    publication, _ = done
    u1, u2 = one.aggregator.u1, one.aggregator.u2
    assert u1 is not None
    assert u2 is not None
    sums = replay(publication, u1, u2, one.vector_of)
    plain = plain_sum(update(silo) for silo in u2.uploads)
    for tensor, total in plain.items():
        assert np.allclose(sums.products[tensor], total, atol=1e-5)
    assert sums.weights == pytest.approx(dict.fromkeys(GROUPS, 2.0 * len(u2.uploads)), rel=1e-6)


def test_the_sum_comes_out_of_a_whole_round() -> None:
    finished(6)


@pytest.mark.parametrize("step", ["keys", "uploads", "acks", "shares"])
def test_a_silo_that_drops_out_at_any_step_spoils_nothing(step: str) -> None:
    finished(7, **{step: [3]})


def test_silos_may_drop_out_at_every_step() -> None:
    finished(12, keys=[0], uploads=[5], acks=[1], shares=[10])


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("keys", "too_few_participants"),
        ("uploads", "too_few_participants"),
        ("acks", "too_few_acks"),
        ("shares", "too_few_shares"),
    ],
)
def test_under_the_threshold_the_round_is_given_up(step: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        finished(9, **{step: [0, 1, 2]})  # 7 of 9 are needed
    assert caught.value.code == code


def test_at_n_min_no_dropout_is_tolerated() -> None:
    finished(5)
    with pytest.raises(Refused) as caught:
        finished(5, uploads=[0])
    assert caught.value.code == "too_few_participants"


def test_a_round_that_was_given_up_is_tried_again_with_fresh_keys() -> None:
    first, second = Round(setting(9)), Round(setting(9, "p.r1.a2"))
    for one in (first, second):
        one.step_keys()
    u1, u2 = first.aggregator.u1, second.aggregator.u1
    assert u1 is not None
    assert u2 is not None
    for silo, keys in u1.keys.items():
        assert keys.mask_key != u2.keys[silo].mask_key
        assert keys.share_key != u2.keys[silo].share_key


def test_nothing_is_closed_while_there_is_time_and_somebody_is_away() -> None:
    one = Round(setting(6))
    for silo in one.names[1:]:
        one.aggregator.take_keys(one.silos[silo].keys(GROUPS, START).message, START)
    assert one.aggregator.close_keys(START) is None
    last = one.silos[name(0)].keys(GROUPS, START)
    one.aggregator.take_keys(last.message, START)
    key_set = one.aggregator.close_keys(START)
    assert key_set is not None
    row, masked = one.masked(name(0), key_set)
    one.aggregator.take_upload(row.message, masked.sealed, masked.vector.tobytes(), KEYS_BY)
    assert one.aggregator.close_uploads(KEYS_BY) is None
    one.vectors[name(0)] = masked.vector.tobytes()
    for silo in one.names[1:]:
        row, masked = one.masked(silo, key_set)
        one.vectors[silo] = masked.vector.tobytes()
        one.aggregator.take_upload(row.message, masked.sealed, one.vectors[silo], KEYS_BY)
    upload_set = one.aggregator.close_uploads(KEYS_BY)
    assert upload_set is not None
    one.aggregator.take_ack(one.ack(name(0), upload_set).message, DEADLINE)
    assert one.aggregator.close_acks(DEADLINE) is None
    ack_set = one.step_acks(upload_set)
    one.aggregator.take_shares(one.unmask(name(0), ack_set).message, ACKS_BY)
    assert one.aggregator.publish(one.vector_of, ACKS_BY) is None


def test_after_an_early_step_nobody_waits_longer_than_a_step_takes() -> None:
    one = Round(setting(6, rules=RULES.model_copy(update={"step_s": 60.0})))
    for silo in one.names:
        one.aggregator.take_keys(one.silos[silo].keys(GROUPS, START).message, START)
    key_set = one.aggregator.close_keys(START)
    assert key_set is not None
    for silo in one.names[1:]:
        row, masked = one.masked(silo, key_set, START)
        one.aggregator.take_upload(row.message, masked.sealed, masked.vector.tobytes(), START)
    assert one.aggregator.close_uploads(START + timedelta(seconds=59.9)) is None
    assert one.aggregator.close_uploads(START + timedelta(seconds=60)) is not None


def test_the_same_messages_give_the_same_bytes() -> None:
    one = Round(setting(6))
    key_set = one.step_keys()
    upload_set = one.step_uploads(key_set, name(5))
    ack_set = one.step_acks(upload_set)
    one.step_shares(ack_set)
    first = one.aggregator.publish(one.vector_of, UNMASK_BY)
    other = AggregatorRound(one.setting)
    everybody = [*reversed(one.names)] * 2  # each comes twice
    for silo in everybody:
        other.take_keys(_message(one, silo, "keys"), START)
    assert other.close_keys(KEYS_BY) == key_set
    those_left = [silo for silo in everybody if silo != name(5)]
    for silo in those_left:
        content = _message(one, silo, "upload")
        other.take_upload(content, one.sealed[silo], one.vectors[silo], START)
    assert other.close_uploads(DEADLINE) == upload_set
    for silo in those_left:
        other.take_ack(_message(one, silo, "ack"), START)
    assert other.close_acks(ACKS_BY) == ack_set
    for silo in those_left:
        other.take_shares(_message(one, silo, "unmask"), START)
    second = other.publish(one.vector_of, UNMASK_BY)
    assert first is not None
    assert second is not None
    assert first[0] == second[0]
    assert np.array_equal(first[1], second[1])


def _message(one: Round, silo: str, step: str) -> bytes:
    row = one.silos[silo].row(step)  # type: ignore[arg-type]
    assert row is not None
    return row.message


def test_what_comes_late_is_refused_and_the_same_again_is_not() -> None:
    one = Round(setting(6))
    key_set = one.step_keys()
    known = _message(one, name(0), "keys")
    one.aggregator.take_keys(known, UNMASK_BY)
    fresh = Round(setting(6)).silos[name(1)].keys(GROUPS, START)
    late = AggregatorRound(one.setting)
    for now in (KEYS_BY, KEYS_BY + HOUR):
        with pytest.raises(Refused, match="too_late"):
            late.take_keys(fresh.message, now)
    with pytest.raises(Refused, match="equivocation"):
        one.aggregator.take_keys(fresh.message, START)
    row, masked = one.masked(name(0), key_set)
    with pytest.raises(Refused, match="too_late"):
        one.aggregator.take_upload(row.message, masked.sealed, masked.vector.tobytes(), DEADLINE)


def test_what_comes_after_a_step_was_closed_is_too_late() -> None:
    one = Round(setting(8))
    key_set = one.step_keys(name(7))
    with pytest.raises(Refused, match="too_late"):
        one.aggregator.take_keys(one.silos[name(7)].keys(GROUPS, START).message, START)
    row, masked = one.masked(name(6), key_set)
    upload_set = one.step_uploads(key_set, name(6))
    with pytest.raises(Refused, match="too_late"):
        one.aggregator.take_upload(row.message, masked.sealed, masked.vector.tobytes(), KEYS_BY)
    late = one.ack(name(0), upload_set)
    ack_set = one.step_acks(upload_set, name(0))
    with pytest.raises(Refused, match="too_late"):
        one.aggregator.take_ack(late.message, DEADLINE)
    shares = one.unmask(name(0), ack_set)
    with pytest.raises(Refused, match="too_late"):
        one.aggregator.take_shares(shares.message, UNMASK_BY)


def test_a_step_is_refused_before_the_one_before_it() -> None:
    one = Round(setting(6))
    other = AggregatorRound(one.setting)
    key_set = one.step_keys()
    upload_set = one.step_uploads(key_set)
    ack_set = one.step_acks(upload_set)
    one.step_shares(ack_set)
    upload, ack, shares = (_message(one, name(0), step) for step in ("upload", "ack", "unmask"))
    for early in (
        lambda: other.take_upload(upload, one.sealed[name(0)], one.vectors[name(0)], START),
        lambda: other.close_uploads(START),
        lambda: other.take_ack(ack, START),
        lambda: other.close_acks(START),
        lambda: other.sealed_for(name(0)),
        lambda: other.take_shares(shares, START),
        lambda: other.publish(one.vector_of, START),
    ):
        with pytest.raises(Refused, match="out_of_order"):
            early()
    for silo in one.names:
        other.take_keys(_message(one, silo, "keys"), START)
    other.close_keys(START)
    for silo in one.names:
        content = _message(one, silo, "upload")
        other.take_upload(content, one.sealed[silo], one.vectors[silo], START)
    other.close_uploads(START)
    with pytest.raises(Refused, match="out_of_order"):
        other.take_shares(shares, START)


def test_a_vector_that_its_silo_did_not_sign_is_refused() -> None:
    one = Round(setting(6))
    row, masked = one.masked(name(0), one.step_keys())
    vector = masked.vector.tobytes()
    for wrong in (vector[:-4], b"\x01" + vector[1:], b""):
        with pytest.raises(Refused, match="wrong_vector"):
            one.aggregator.take_upload(row.message, masked.sealed, wrong, KEYS_BY)


def test_an_upload_without_somebodys_shares_is_refused() -> None:
    one = Round(setting(6))
    row, masked = one.masked(name(0), one.step_keys())
    sealed = {silo: shares for silo, shares in masked.sealed.items() if silo != name(3)}
    with pytest.raises(Refused, match="missing_shares"):
        one.aggregator.take_upload(row.message, sealed, masked.vector.tobytes(), KEYS_BY)


def _until_shares(silos: int, *dropped: str) -> tuple[Round, bytes]:
    one = Round(setting(silos))
    upload_set = one.step_uploads(one.step_keys(), *dropped)
    return one, one.step_acks(upload_set)


def test_shares_that_nobody_may_ask_for_are_refused() -> None:
    one, ack_set = _until_shares(7, name(6))
    message = Unmask.parse(parse(one.unmask(name(0), ack_set).message).payload)
    share = message.own[name(1)]
    for changes, code in (
        ({"own": {**message.own, name(6): share}}, "wrong_shares"),
        ({"pairs": {**message.pairs, name(1): {name(2): share}}}, "wrong_shares"),
        ({"pairs": {**message.pairs, name(6): {name(6): share}}}, "wrong_shares"),
        ({"upload_set_sha256": "00" * 32}, "wrong_upload_set"),
        ({"silo": name(6)}, "strange_participant"),
    ):
        wrong = message.model_copy(update=changes)
        with pytest.raises(Refused) as caught:
            one.aggregator.take_shares(signed(wrong, wrong.silo), ACKS_BY)
        assert caught.value.code == code


def _falsified(one: Round, silo: str, ack_set: bytes) -> bytes:
    message = Unmask.parse(parse(one.unmask(silo, ack_set).message).payload)
    own = {other: f"{(int(share, 16) ^ 1):066x}" for other, share in message.own.items()}
    return signed(message.model_copy(update={"own": own}), silo)


def test_one_silo_with_false_shares_is_left_out() -> None:
    one, ack_set = _until_shares(7)
    one.aggregator.take_shares(_falsified(one, name(0), ack_set), ACKS_BY)
    one.step_shares(ack_set, name(0))
    assert one.aggregator.publish(one.vector_of, UNMASK_BY) is not None


def test_too_many_false_shares_give_the_round_up() -> None:
    one, ack_set = _until_shares(6)
    for silo in (name(0), name(1)):
        one.aggregator.take_shares(_falsified(one, silo, ack_set), ACKS_BY)
    one.step_shares(ack_set, name(0), name(1))
    with pytest.raises(Refused, match="bad_shares"):
        one.aggregator.publish(one.vector_of, UNMASK_BY)


def test_shares_that_did_not_open_may_be_too_few_for_a_seed() -> None:
    one = Round(setting(5))  # 4 of 5 are needed
    upload_set = one.step_uploads(one.step_keys())
    u2 = one.aggregator.u2
    assert u2 is not None
    for silo in u2.uploads:
        sealed = one.aggregator.sealed_for(silo)
        if silo in {name(2), name(3)}:
            sealed.pop(name(0))
        row = one.silos[silo].ack(upload_set, sealed, [], DEADLINE)
        one.aggregator.take_ack(row.message, DEADLINE)
    ack_set = one.aggregator.close_acks(ACKS_BY)
    assert ack_set is not None
    one.step_shares(ack_set)
    with pytest.raises(Refused, match="bad_shares"):
        one.aggregator.publish(one.vector_of, UNMASK_BY)


def test_a_masked_vector_looks_like_chance_and_its_update_does_not() -> None:
    one = Round(setting(6))
    _, masked = one.masked(name(0), one.step_keys())
    mean = float(masked.vector.astype(np.float64).mean()) / 2**32
    assert abs(mean - 0.5) < 6 / np.sqrt(12 * masked.vector.size)


def test_shares_are_not_taken_from_a_silo_that_opens_none() -> None:
    one, ack_set = _until_shares(7, name(6))
    empty = Unmask.parse(parse(one.unmask(name(0), ack_set).message).payload)
    empty = empty.model_copy(update={"own": {}, "pairs": {}})
    one.aggregator.take_shares(signed(empty, name(0)), ACKS_BY)
    one.step_shares(ack_set, name(0))
    assert one.aggregator.publish(one.vector_of, UNMASK_BY) is not None


def test_an_acknowledgement_of_something_else_is_refused() -> None:
    one = Round(setting(6))
    upload_set = one.step_uploads(one.step_keys())
    ack = Ack.parse(parse(one.ack(name(0), upload_set).message).payload)
    wrong = ack.model_copy(update={"upload_set_sha256": "00" * 32})
    with pytest.raises(Refused, match="wrong_upload_set"):
        one.aggregator.take_ack(signed(wrong, name(0)), DEADLINE)
