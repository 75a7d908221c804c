"""A silo in a masked round: what it refuses, by name, and what it never says twice."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from agent.errors import Refused
from agent.wire.masking.documents import (
    Ack,
    AckSet,
    KeySet,
    RoundKeys,
    Unmask,
    Upload,
    UploadSet,
    contained,
    in_order,
)
from agent.wire.masking.history import Past
from agent.wire.masking.layout import Update
from agent.wire.masking.setting import Site
from agent.wire.masking.silo import SiloRound
from agent.wire.signed import parse, sign
from tests.kit.consortium import START
from tests.kit.masking import (
    ACKS_BY,
    DEADLINE,
    GROUPS,
    KEYS,
    KEYS_BY,
    UNMASK_BY,
    Round,
    name,
    pins,
    roster,
    setting,
    update,
    with_manifest,
)

Message = RoundKeys | Upload | Ack


def refused(step: Callable[[], object], code: str) -> None:
    with pytest.raises(Refused) as caught:
        step()
    assert caught.value.code == code


def resigned(
    content: bytes, model: type[Message], key: str | None = None, **changes: object
) -> bytes:
    """Returns a message with other words, signed by its silo or in its name."""
    message = model.parse(parse(content).payload).model_copy(update=changes)
    return sign(message.kind, message.to_bytes(), KEYS[key or message.silo])


def key_set_of(one: Round, messages: dict[str, bytes]) -> bytes:
    round_id = one.setting.manifest.round_id
    return KeySet(round_id=round_id, keys=in_order(messages)).to_bytes()


def messages_of(content: bytes) -> dict[str, bytes]:
    return {name(i): one for i, one in enumerate(contained(KeySet.parse(content).keys))}


# -- keys and key sets


def test_keys_are_made_once_and_answered_with_again() -> None:
    one = Round(setting(6))
    silo = one.silos[name(0)]
    first = silo.keys(GROUPS, START)
    again = SiloRound(one.setting, name(0), Site(), KEYS[name(0)], [first])
    assert again.keys(("other",), UNMASK_BY) == first
    assert again.row("upload") is None


def test_keys_are_not_made_after_their_time() -> None:
    refused(lambda: Round(setting(6)).silos[name(0)].keys(GROUPS, KEYS_BY), "too_late")


def test_a_round_id_that_comes_with_another_manifest_is_a_replay() -> None:
    one = Round(setting(6))
    row = one.silos[name(0)].keys(GROUPS, START)
    other = setting(6, base="23" * 32)
    refused(lambda: SiloRound(other, name(0), Site(), KEYS[name(0)], [row]), "replayed_round")


def _at_keys(code: str, change: Callable[[Round, dict[str, bytes]], dict[str, bytes]]) -> None:
    one = Round(setting(9))
    key_set = one.step_keys()
    wrong = key_set_of(one, change(one, messages_of(key_set)))
    refused(lambda: one.silos[name(0)].check_keys(wrong), code)


def test_a_key_set_without_ones_own_keys_is_refused() -> None:
    _at_keys("wrong_key_set", lambda _, kept: {s: c for s, c in kept.items() if s != name(0)})


def test_a_key_set_with_other_keys_of_ones_own_is_refused() -> None:
    _at_keys(
        "wrong_key_set",
        lambda _, kept: kept | {name(0): resigned(kept[name(0)], RoundKeys, groups=())},
    )


def test_other_models_at_other_silos_are_refused_before_any_upload() -> None:
    """The server hands two silos different base weights under one round id."""
    _at_keys(
        "wrong_manifest",
        lambda _, kept: (
            kept
            | {
                name(4): SiloRound(setting(9, base="77" * 32), name(4), Site(), KEYS[name(4)])
                .keys(GROUPS, START)
                .message
            }
        ),
    )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"roster_sha256": "99" * 32}, "wrong_roster"),
        ({"manifest_sha256": "99" * 32}, "wrong_manifest"),
        ({"mask_key": "00" * 32}, "bad_key"),
        ({"share_key": "01" + "00" * 31}, "bad_key"),
        ({"consortium": "other"}, "wrong_consortium"),
        ({"round_id": "p.r1.a9"}, "wrong_round"),
    ],
)
def test_keys_for_something_else_are_refused(changes: dict[str, object], code: str) -> None:
    _at_keys(
        code, lambda _, kept: kept | {name(4): resigned(kept[name(4)], RoundKeys, None, **changes)}
    )


def test_a_server_that_speaks_for_a_silo_is_refused() -> None:
    """Keys of its own making, signed by a puppet in another silo's name."""
    _at_keys(
        "wrong_silo",
        lambda _, kept: kept | {name(4): resigned(kept[name(4)], RoundKeys, name(5))},
    )


def test_keys_by_a_stranger_or_by_two_are_refused() -> None:
    _at_keys(
        "unknown_signer",
        lambda _, kept: kept | {name(4): resigned(kept[name(4)], RoundKeys, name(20))},
    )
    one = Round(setting(9))
    kept = messages_of(one.step_keys())
    payload = parse(kept[name(4)]).payload
    kept[name(4)] = sign("masked_keys", payload, KEYS[name(4)], KEYS[name(5)])
    refused(lambda: one.silos[name(0)].check_keys(key_set_of(one, kept)), "unknown_signer")


def test_a_revoked_silo_is_refused() -> None:
    one = Round(setting(9))
    kept = messages_of(one.step_keys())
    members = roster(one.names)
    revoked = members.members[4].model_copy(update={"revoked": True})
    after = replace(
        one.setting,
        roster=members.model_copy(
            update={"members": (*members.members[:4], revoked, *members.members[5:])}
        ),
    )
    row = one.silos[name(0)].row("keys")
    assert row is not None
    silo = SiloRound(after, name(0), Site(), KEYS[name(0)], [row])
    refused(lambda: silo.check_keys(key_set_of(one, kept)), "revoked")


def test_a_silo_twice_or_out_of_order_is_refused() -> None:
    one = Round(setting(6))
    found = KeySet.parse(one.step_keys())
    for keys in ((*found.keys, found.keys[-1]), found.keys[::-1]):
        wrong = found.model_copy(update={"keys": keys}).to_bytes()
        refused(partial(one.silos[name(0)].check_keys, wrong), "bad_set")
    wrong = found.model_copy(update={"keys": ("?", *found.keys[1:])}).to_bytes()
    refused(lambda: one.silos[name(0)].check_keys(wrong), "bad_set")
    wrong = found.model_copy(update={"round_id": "p.r1.a2"}).to_bytes()
    refused(lambda: one.silos[name(0)].check_keys(wrong), "wrong_round")


def test_too_few_keys_are_refused() -> None:
    _at_keys("too_few_participants", lambda _, kept: {name(i): kept[name(i)] for i in range(6)})


def test_a_site_may_want_more_silos_than_the_plan() -> None:
    one = Round(setting(9), sites={name(0): Site(n_min=10)})
    key_set = one.step_keys()
    refused(lambda: one.silos[name(0)].check_keys(key_set), "too_few_participants")


def test_puppets_do_not_count() -> None:
    """Nine silos, of which this site has checked three besides itself."""
    site = Site(pinned=pins(name(1), name(2), name(3)))
    one = Round(setting(9), sites={name(0): site})
    key_set = one.step_keys()
    refused(lambda: one.silos[name(0)].check_keys(key_set), "peer_not_pinned")


def test_so_many_puppets_that_they_could_have_two_sets_acknowledged_are_refused() -> None:
    """Enough pinned peers, and beside them enough puppets to lift masks with one silo's help."""
    site = Site(pinned=pins(*(name(place) for place in range(1, 8))))
    few = Round(setting(12), sites={name(0): site})
    assert few.silos[name(0)].check_keys(few.step_keys()).threshold == 9
    many = Round(setting(13), sites={name(0): site})
    key_set = many.step_keys()
    refused(lambda: many.silos[name(0)].check_keys(key_set), "too_many_unpinned")


# -- uploads


def test_an_upload_is_made_once() -> None:
    one = Round(setting(6))
    key_set = one.step_keys()
    row, _ = one.masked(name(0), key_set)
    refused(lambda: one.masked(name(0), key_set), "second_upload")
    keys = one.silos[name(0)].row("keys")
    assert keys is not None
    again = SiloRound(one.setting, name(0), Site(), KEYS[name(0)], [keys, row])
    refused(lambda: again.upload(key_set, update(name(0)), KEYS_BY), "second_upload")
    assert again.row("upload") == row


def test_a_late_upload_is_not_made() -> None:
    one = Round(setting(6))
    key_set = one.step_keys()
    refused(lambda: one.masked(name(0), key_set, DEADLINE), "too_late")


def test_no_step_comes_before_the_one_before_it() -> None:
    one = Round(setting(6))
    key_set = one.step_keys(name(5))
    refused(lambda: one.masked(name(5), key_set), "out_of_order")
    upload_set = one.step_uploads(key_set)
    refused(lambda: one.silos[name(5)].ack(upload_set, {}, [], DEADLINE), "out_of_order")
    ack_set = one.step_acks(upload_set)
    refused(lambda: one.unmask(name(5), ack_set), "out_of_order")


def test_a_head_that_too_few_train_is_not_uploaded() -> None:
    few = {name(place): ("trunk", GROUPS[1]) for place in range(2)}
    one = Round(setting(6), trains=few)  # four train the other head
    key_set = one.step_keys()
    row, _ = one.masked(name(5), key_set)
    upload = Upload.parse(parse(row.message).payload)
    assert upload.groups == (GROUPS[1], "trunk")
    assert one.silos[name(5)].check_keys(key_set).layout.groups == (GROUPS[1], "trunk")


def test_a_head_whose_trainers_a_site_does_not_count_is_zeros_of_its_own() -> None:
    """The others upload it; this silo takes part with zeros, and nobody can tell from its bytes."""
    few = {name(0): ("trunk", GROUPS[1])}
    site = Site(pinned=pins(*(name(place) for place in range(5))))
    one = Round(setting(6), trains=few, sites={name(5): site})
    key_set = one.step_keys()
    row, masked = one.masked(name(5), key_set)
    upload = Upload.parse(parse(row.message).payload)
    assert upload.groups == (GROUPS[1], GROUPS[2], "trunk")
    other = Round(setting(7), trains=few, sites={name(6): site})
    row, masked = other.masked(name(6), other.step_keys())
    upload = Upload.parse(parse(row.message).payload)
    assert upload.groups == (GROUPS[1], GROUPS[2], "trunk")
    strict = Site(n_min=6, pinned=pins(*(name(place) for place in range(5))))
    third = Round(setting(7), trains=few, sites={name(6): strict})
    row, masked = third.masked(name(6), third.step_keys())
    upload = Upload.parse(parse(row.message).payload)
    assert upload.groups == (GROUPS[1], "trunk")
    assert masked.vector.size == upload.words


def test_an_update_that_nobody_could_hide_is_not_uploaded() -> None:
    one = Round(setting(6), trains={name(0): (GROUPS[1],)})
    key_set = one.step_keys()
    nothing = Update({}, {})
    refused(lambda: one.silos[name(0)].upload(key_set, nothing, KEYS_BY), "nothing_to_share")


def test_a_group_that_was_not_declared_is_not_uploaded() -> None:
    one = Round(setting(6), trains={name(0): (GROUPS[1],)})
    row, _ = one.silos[name(0)].upload(one.step_keys(), update(name(0)), KEYS_BY)
    assert Upload.parse(parse(row.message).payload).groups == (GROUPS[1],)


def test_an_update_that_lacks_a_tensor_or_is_not_finite_is_refused() -> None:
    one = Round(setting(6))
    key_set = one.step_keys()
    whole = update(name(0))
    lacking = {t: v for t, v in whole.products.items() if t != "trunk.dense.bias"}
    bent = whole.products | {"trunk.dense.bias": np.zeros(1, np.float32)}
    broken = whole.products | {"trunk.dense.bias": np.full(8, np.nan, np.float32)}
    for products, code in (
        (lacking, "wrong_tensors"),
        (bent, "wrong_tensors"),
        (broken, "not_finite"),
    ):
        step = Update(products, whole.weight)
        refused(partial(one.silos[name(0)].upload, key_set, step, KEYS_BY), code)


# -- upload sets


def _at_uploads(
    code: str,
    change: Callable[[UploadSet], UploadSet] = lambda found: found,
    *,
    of: Round | None = None,
    away: Sequence[str] = (),
    silo: str = name(0),
) -> None:
    one = of or Round(setting(9))
    key_set = one.step_keys()
    u1 = one.aggregator.u1
    assert u1 is not None
    messages = {}
    for other in u1.keys:
        row, _ = one.masked(other, key_set)
        if other not in away:
            messages[other] = row.message
    whole = UploadSet(
        round_id=one.setting.manifest.round_id,
        key_set_sha256=u1.sha256,
        uploads=in_order(messages),
    )
    content = change(whole).to_bytes()
    refused(lambda: one.silos[silo].ack(content, {}, [], DEADLINE), code)


def _changed(place: int, **changes: object) -> Callable[[UploadSet], UploadSet]:
    def change(found: UploadSet) -> UploadSet:
        messages = {name(i): one for i, one in enumerate(contained(found.uploads))}
        messages[name(place)] = resigned(messages[name(place)], Upload, None, **changes)
        return found.model_copy(update={"uploads": in_order(messages)})

    return change


def test_a_set_without_ones_own_upload_is_refused() -> None:
    _at_uploads("wrong_upload", away=[name(0)])


def test_a_set_with_another_upload_of_ones_own_is_refused() -> None:
    _at_uploads("wrong_upload", _changed(0, created="2026-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key_set_sha256": "00" * 32}, "wrong_key_set"),
        ({"words": 7}, "wrong_length"),
        ({"groups": ("head.private",)}, "wrong_groups"),
        ({"groups": ("trunk", "trunk")}, "wrong_groups"),
        ({"pair_sha256": {}}, "wrong_commitments"),
        ({"round_id": "p.r1.a2"}, "wrong_round"),
        ({"n_min": 12}, "too_few_participants"),
        ({"counts": (name(1), name(2))}, "peer_not_pinned"),
    ],
)
def test_an_upload_that_does_not_belong_is_refused(changes: dict[str, object], code: str) -> None:
    _at_uploads(code, _changed(4, **changes))


def test_masks_that_do_not_cancel_are_refused() -> None:
    pairs = {name(i): "00" * 32 for i in range(9) if i != 4}
    _at_uploads("masks_differ", _changed(4, pair_sha256=pairs))


def test_a_set_under_other_keys_or_of_another_round_is_refused() -> None:
    _at_uploads("wrong_key_set", lambda f: f.model_copy(update={"key_set_sha256": "00" * 32}))
    _at_uploads("wrong_round", lambda f: f.model_copy(update={"round_id": "p.r1.a2"}))


def test_too_few_uploads_are_refused() -> None:
    _at_uploads("too_few_participants", away=[name(1), name(2), name(3)])


def test_an_upload_of_who_sent_no_keys_is_refused() -> None:
    one = Round(setting(9))
    key_set = one.step_keys(name(8))
    for silo in one.names[:8]:
        one.masked(silo, key_set)
    u1 = one.aggregator.u1
    assert u1 is not None
    messages = {}
    for silo in one.names[:8]:
        kept = one.silos[silo].row("upload")
        assert kept is not None
        messages[silo] = kept.message
    messages[name(8)] = resigned(messages[name(7)], Upload, name(8), silo=name(8))
    wrong = UploadSet(
        round_id=one.setting.manifest.round_id,
        key_set_sha256=u1.sha256,
        uploads=in_order(messages),
    ).to_bytes()
    refused(lambda: one.silos[name(0)].ack(wrong, {}, [], DEADLINE), "strange_participant")


def test_an_isolated_head_is_refused_by_those_who_train_it_and_those_who_do_not() -> None:
    """Six train a head; the server drops two of them, so that four would be summed."""
    trains = {name(place): ("trunk", GROUPS[1]) for place in range(6, 9)}
    for silo in (name(0), name(8)):
        _at_uploads(
            "head_isolated",
            of=Round(setting(9), trains=trains),
            away=[name(4), name(5)],
            silo=silo,
        )


def test_a_head_is_isolated_where_one_that_trains_it_counts_too_few() -> None:
    trains = {name(place): ("trunk", GROUPS[1]) for place in range(7, 9)}
    site = Site(pinned=pins(*(name(place) for place in (1, 2, 3, 4, 7, 8))))
    _at_uploads(
        "head_isolated",
        of=Round(setting(9), trains=trains, sites={name(0): site}),
        away=[name(4)],
        silo=name(6),
    )


def test_a_set_is_acknowledged_once() -> None:
    one = Round(setting(9))
    upload_set = one.step_uploads(one.step_keys())
    row = one.ack(name(0), upload_set)
    assert one.ack(name(0), upload_set, UNMASK_BY) == row
    found = UploadSet.parse(upload_set)
    smaller = found.model_copy(update={"uploads": found.uploads[:-1]}).to_bytes()
    refused(lambda: one.ack(name(0), smaller), "second_ack")


def test_a_late_acknowledgement_is_not_made() -> None:
    one = Round(setting(6))
    upload_set = one.step_uploads(one.step_keys())
    refused(lambda: one.ack(name(0), upload_set, ACKS_BY), "too_late")


# -- unmasking


def _acked(one: Round, *away: str) -> tuple[bytes, bytes]:
    upload_set = one.step_uploads(one.step_keys(), *away)
    return upload_set, one.step_acks(upload_set)


def test_no_silo_ever_says_both_shares_of_another() -> None:
    one = Round(setting(9))
    _, ack_set = _acked(one, name(7), name(8))
    for silo in one.names[:7]:
        message = Unmask.parse(parse(one.unmask(silo, ack_set).message).payload)
        assert set(message.own) == {name(i) for i in range(7)}
        assert all(set(pairs) == {name(7), name(8)} for pairs in message.pairs.values())


def test_shares_are_released_once_and_answered_with_again() -> None:
    one = Round(setting(6))
    _, ack_set = _acked(one)
    row = one.unmask(name(0), ack_set)
    rows = [one.silos[name(0)].row(step) for step in ("keys", "upload", "ack", "unmask")]
    again = SiloRound(one.setting, name(0), Site(), KEYS[name(0)], [r for r in rows if r])
    assert again.unmask(b"anything", [], UNMASK_BY) == row


def test_shares_are_not_released_after_their_time() -> None:
    one = Round(setting(6))
    _, ack_set = _acked(one)
    refused(lambda: one.unmask(name(0), ack_set, UNMASK_BY), "too_late")


@pytest.mark.parametrize(
    ("model", "changes", "code"),
    [
        ({"round_id": "p.r1.a2"}, {}, "wrong_round"),
        ({}, {"upload_set_sha256": "00" * 32}, "wrong_upload_set"),
        ({}, {"silo": name(2)}, "wrong_silo"),
    ],
)
def test_forged_acknowledgements_are_refused(
    model: dict[str, object], changes: dict[str, object], code: str
) -> None:
    one = Round(setting(6))
    _, ack_set = _acked(one)
    found = AckSet.parse(ack_set).model_copy(update=model)
    acks = dict(zip(one.names, contained(found.acks), strict=True))
    acks[name(1)] = resigned(acks[name(1)], Ack, name(1), **changes)
    wrong = found.model_copy(update={"acks": in_order(acks)}).to_bytes()
    refused(lambda: one.unmask(name(0), wrong), code)


def test_too_few_or_repeated_acknowledgements_are_refused() -> None:
    one = Round(setting(6))
    _, ack_set = _acked(one)
    found = AckSet.parse(ack_set)
    few = found.model_copy(update={"acks": found.acks[:4]}).to_bytes()
    refused(lambda: one.unmask(name(0), few), "too_few_acks")
    twice = found.model_copy(update={"acks": (*found.acks[:4], found.acks[3])}).to_bytes()
    refused(lambda: one.unmask(name(0), twice), "bad_set")


def test_an_acknowledgement_by_who_is_not_in_the_sum_is_refused() -> None:
    one = Round(setting(7))
    _, ack_set = _acked(one, name(6))
    found = AckSet.parse(ack_set)
    acks = dict(zip(one.names, contained(found.acks), strict=False))
    acks[name(6)] = resigned(acks[name(5)], Ack, name(6), silo=name(6))
    wrong = found.model_copy(update={"acks": in_order(acks)}).to_bytes()
    refused(lambda: one.unmask(name(0), wrong), "strange_participant")


def test_shares_that_do_not_open_are_left_out() -> None:
    one = Round(setting(6))
    upload_set = one.step_uploads(one.step_keys())
    sealed = one.aggregator.sealed_for(name(0))
    sealed[name(1)] = sealed[name(1)][:-1] + b"\x00"
    sealed[name(2)] = sealed[name(3)]
    row = one.silos[name(0)].ack(upload_set, sealed, [], DEADLINE)
    own = Unmask.parse(row.secret.raw).own
    assert set(own) == {name(0), name(3), name(4), name(5)}


def test_shares_of_a_wrong_length_are_left_out() -> None:
    one = Round(setting(6))
    upload_set = one.step_uploads(one.step_keys())
    u1 = one.aggregator.u1
    assert u1 is not None
    sealed = one.aggregator.sealed_for(name(0))
    sender = one.silos[name(1)]
    sealed[name(1)] = sender._round_secrets().seal(
        b"short", u1.keys[name(0)].share_key, u1.binding, name(1), name(0)
    )
    row = one.silos[name(0)].ack(upload_set, sealed, [], DEADLINE)
    assert name(1) not in Unmask.parse(row.secret.raw).own


# -- the point of no return


def _unmasked(one: Round) -> list[Past]:
    _, ack_set = _acked(one)
    row = one.unmask(name(0), ack_set)
    return [Past.parse(row.seen)]


def test_a_sum_that_differs_by_few_from_an_unmasked_one_is_refused() -> None:
    """The server runs the same base again without one silo."""
    past = _unmasked(Round(setting(9)))
    again = Round(setting([name(i) for i in range(8)], "p.r1.a2"))
    upload_set = again.step_uploads(again.step_keys())
    again.past[name(0)] = past
    refused(lambda: again.ack(name(0), upload_set), "differencing")
    other = Round(setting([name(i) for i in range(8)], "p.r2.a1", base="88" * 32))
    other.past[name(0)] = past
    assert other.ack(name(0), other.step_uploads(other.step_keys())).step == "ack"


def test_a_sum_that_was_unmasked_meanwhile_stops_the_unmasking() -> None:
    past = _unmasked(Round(setting(9)))
    again = Round(setting([name(i) for i in range(8)], "p.r1.a2"))
    _, ack_set = _acked(again)
    again.past[name(0)] = past
    refused(lambda: again.unmask(name(0), ack_set), "differencing")


def test_before_the_point_of_no_return_a_round_may_be_tried_again() -> None:
    first = Round(setting(9))
    _acked(first)
    again = Round(setting([name(i) for i in range(8)], "p.r1.a2"))
    _, ack_set = _acked(again)
    assert again.unmask(name(0), ack_set).step == "unmask"


def test_a_silo_that_takes_no_part_builds_no_round() -> None:
    refused(lambda: SiloRound(setting(6), name(7), Site(), KEYS[name(7)]), "strange_participant")
    narrow = with_manifest(setting(6), masking=None)
    refused(lambda: SiloRound(narrow, name(0), Site(), KEYS[name(0)]), "not_masked")
