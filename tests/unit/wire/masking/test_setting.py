"""What a round is held against: the plan's own rules, the roster, and a site's wish."""

from dataclasses import replace

import pytest

from agent.clock import to_text
from agent.errors import Refused
from agent.wire.masking.setting import Setting, Site, check_open
from tests.kit.consortium import START
from tests.kit.masking import (
    ACKS_BY,
    DEADLINE,
    KEYS_BY,
    RULES,
    SHAPES,
    name,
    pins,
    plan,
    roster,
    setting,
    terms,
    with_manifest,
)


def _refused(wrong: Setting, code: str) -> None:
    with pytest.raises(Refused) as caught:
        wrong.check()
    assert caught.value.code == code


def test_a_sound_round_passes() -> None:
    setting(6).check()


def test_a_round_that_masks_otherwise_than_its_plan_is_refused() -> None:
    """The online key asks for fewer silos than the officers signed."""
    lax = terms(6, RULES.model_copy(update={"n_min": 3}))
    _refused(with_manifest(setting(6), masking=lax), "wrong_terms")
    _refused(replace(setting(6), plan=plan([name(0)], None)), "wrong_terms")


def test_a_round_without_terms_is_refused() -> None:
    _refused(with_manifest(setting(6), masking=None), "not_masked")


def test_a_round_under_another_roster_is_refused() -> None:
    _refused(replace(setting(6), roster_sha256="00" * 32), "wrong_roster")


def test_bits_that_let_a_sum_leave_the_ring_are_refused() -> None:
    _refused(with_manifest(setting(6), masking=terms(6, bits=23)), "wrong_terms")


@pytest.mark.parametrize(
    "changes",
    [
        {"keys_by": to_text(ACKS_BY)},
        {"acks_by": to_text(KEYS_BY)},
        {"unmask_by": to_text(DEADLINE)},
    ],
)
def test_steps_that_end_out_of_order_are_refused(changes: dict[str, object]) -> None:
    _refused(with_manifest(setting(6), masking=terms(6).model_copy(update=changes)), "wrong_terms")


def test_too_many_silos_are_refused() -> None:
    _refused(setting(129), "too_many_silos")
    _refused(with_manifest(setting(6), participants=()), "too_many_silos")


def test_a_site_that_would_be_content_with_two_is_refused() -> None:
    with pytest.raises(Refused, match="n_min_too_small"):
        Site(n_min=2)
    assert Site().n_min == 5
    assert Site(n_min=3).pinned is None


def test_only_pinned_silos_count_and_oneself() -> None:
    one, silos = setting(4), [name(place) for place in range(4)]
    assert Site().counted(one, silos, name(3)) == tuple(silos)
    site = Site(pinned=pins(name(1)))
    assert site.counted(one, silos, name(3)) == (name(1), name(3))
    gone = replace(one, roster=roster([name(0)]))
    assert site.counted(gone, silos, name(3)) == (name(3),)


def test_a_step_is_open_until_its_moment() -> None:
    check_open(to_text(KEYS_BY), START, "keys")
    with pytest.raises(Refused, match="too_late"):
        check_open(to_text(KEYS_BY), KEYS_BY, "keys")


def test_layouts_take_the_cap_of_the_recipe_unless_all_count_alike() -> None:
    one = setting(6)
    assert {f.limit for f in one.layout(["trunk"]).weights} == {4.0}
    alike = replace(one, plan=plan(one.manifest.participants, weighting="uniform"))
    assert {f.limit for f in alike.layout(["trunk"]).weights} == {1.0}
    assert one.layout(["trunk"]).shapes == SHAPES
