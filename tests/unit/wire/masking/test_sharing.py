"""Noise that silos share: the sum has what the plan asked, and it fits the ring."""

import math
from dataclasses import replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pytest

from agent.errors import Refused
from agent.wire.documents import MaskRules, SharedNoise
from agent.wire.masking.layout import Update
from agent.wire.masking.quantize import Rounding, quantize
from agent.wire.masking.setting import Setting
from agent.wire.masking.sharing import LEAST_SHARE, check_room, share
from agent.wire.masking.silo import Masked, Row
from agent.wire.masking.terms import bits_for, threshold
from tests.kit.masking import (
    GROUPS,
    KEYS_BY,
    SHAPES,
    UNMASK_BY,
    Round,
    name,
    plain_sum,
    setting,
    update,
)

_RULES = MaskRules(n_min=4, clip=0.5, bias_clip=10.0, step_s=10_800.0)
_ASKED = SharedNoise(
    masking=_RULES, epsilon=8.0, delta=1e-5, noise=2.0, clip=1.0, sampling_rate=0.1
)
_PLAN = setting(6, rules=_RULES).plan
_RECIPE = _PLAN.recipe.model_copy(
    update={"weighting": "uniform", "learning_rate": 0.2, "batch_size": 16}
)
# Of one compound's clipped gradient, as a change of the weights.
_OF_COMPOUND = 0.2 / 16 * _ASKED.clip


def _setting(silos: int = 6, asked: SharedNoise = _ASKED) -> Setting:
    found = setting(silos, rules=asked.masking)
    plan = found.plan.model_copy(update={"privacy": asked, "recipe": _RECIPE})
    return replace(found, plan=plan)


class Noisy(Round):
    """A round whose silos bring the same number everywhere, nothing unless told: noise is left."""

    brought = 0.0

    def masked(self, silo: str, key_set: bytes, now: datetime = KEYS_BY) -> tuple[Row, Masked]:
        numbers = {one: np.full(shape, self.brought, np.float32) for one, shape in SHAPES.items()}
        weight = dict.fromkeys(self.trains[silo], 1.0)
        return self.silos[silo].upload(key_set, Update(numbers, weight), now)


class Whole(Round):
    """A round whose silos bring an update each, and count alike."""

    def masked(self, silo: str, key_set: bytes, now: datetime = KEYS_BY) -> tuple[Row, Masked]:
        return self.silos[silo].upload(key_set, update(silo, weight=1.0), now)


def _summed(one: Round, *away: str) -> npt.NDArray[np.float64]:
    upload_set = one.step_uploads(one.step_keys(), *away)
    one.step_shares(one.step_acks(upload_set))
    done = one.aggregator.publish(one.vector_of, UNMASK_BY)
    assert done is not None
    assert one.aggregator.u1 is not None
    sums = one.aggregator.u1.layout.read(done[1])
    return np.concatenate([tensor.ravel() for tensor in sums.products.values()])


def _deviations(noise: npt.NDArray[np.float64], expected: float) -> float:
    """Returns by how many of its own deviations the measured deviation is off."""
    return abs(float(noise.std()) / expected - 1) * math.sqrt(2 * noise.size)


def test_with_as_few_silos_as_go_on_the_sum_has_the_plans_noise() -> None:
    assert threshold(6) == 5
    noise = _summed(Noisy(_setting()), name(5))
    assert noise.size > 2_000
    assert _deviations(noise, _ASKED.noise * _OF_COMPOUND) < 4
    assert abs(float(noise.mean())) < 4 * _ASKED.noise * _OF_COMPOUND / math.sqrt(noise.size)


def test_more_silos_bring_more_noise_and_never_less() -> None:
    noise = _summed(Noisy(_setting()))
    assert _deviations(noise, _ASKED.noise * _OF_COMPOUND * math.sqrt(6 / 5)) < 4


def test_every_silo_adds_noise_also_where_it_trains_nothing() -> None:
    """Else a head that few silos train would have less than the accounting says."""
    few = {name(place): GROUPS[:1] for place in (4, 5)}
    one = Noisy(_setting(), trains=few)
    assert _deviations(_summed(one), _ASKED.noise * _OF_COMPOUND * math.sqrt(6 / 5)) < 4
    u1 = one.aggregator.u1
    assert u1 is not None
    assert u1.layout.groups == tuple(sorted(GROUPS))


def test_the_clip_comes_before_the_noise_and_holds_for_biases_too() -> None:
    one = Noisy(_setting())
    one.brought = 3.0  # six times the clip
    mean = _summed(one) / 6
    assert np.all(np.abs(mean - _RULES.clip) < 6 * _ASKED.noise * _OF_COMPOUND)


def test_a_summed_update_is_the_plain_one_and_noise() -> None:
    found = _summed(Whole(_setting()))
    plain = plain_sum(update(name(place), weight=1.0) for place in range(6))
    whole = np.concatenate([plain[tensor].ravel() for tensor in sorted(plain)])
    off = found - whole
    assert _deviations(off, _ASKED.noise * _OF_COMPOUND * math.sqrt(6 / 5)) < 4


def test_one_silos_vector_still_looks_like_chance() -> None:
    one = Noisy(_setting())
    one.step_uploads(one.step_keys())
    values = np.frombuffer(one.vectors[name(0)], dtype=np.uint8)
    counts = np.bincount(values, minlength=256)
    expected = values.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * math.sqrt(510)


def test_a_share_is_smaller_the_more_silos_share() -> None:
    bits = bits_for(6)
    shares = {silos: share(_ASKED, _RECIPE, bits, silos) for silos in (3, 6, 12)}
    elements = _ASKED.noise * _OF_COMPOUND / _RULES.clip * (2**bits - 1)
    for silos, found in shares.items():
        assert found * math.sqrt(threshold(silos)) == pytest.approx(elements, rel=1e-6)
        assert found * math.sqrt(threshold(silos)) > elements


@pytest.mark.parametrize("silos", [6, 7, 50, 127])
def test_there_is_room_for_what_is_sane(silos: int) -> None:
    check_room(_ASKED.model_copy(update={"masking": _RULES}), _RECIPE, silos)
    _setting(silos).check()


def test_a_ring_without_headroom_is_refused_by_name() -> None:
    tight = _RULES.model_copy(update={"clip": _OF_COMPOUND})
    loud = _ASKED.model_copy(update={"masking": tight, "noise": 90.0})
    with pytest.raises(Refused, match=r"no_headroom") as caught:
        _setting(128, loud).check()
    assert "masking.headroom must be" in caught.value.reason
    roomy = tight.model_copy(update={"headroom": 63.0})
    _setting(128, loud.model_copy(update={"masking": roomy})).check()


def test_noise_of_too_few_ring_elements_is_refused_by_name() -> None:
    coarse = _ASKED.model_copy(update={"masking": _RULES.model_copy(update={"clip": 4e4})})
    with pytest.raises(Refused, match="ring_too_coarse"):
        _setting(6, coarse).check()


def test_what_is_added_is_a_discrete_gaussian_as_closely_as_is_said() -> None:
    """The law of floor(x + normal + uniform), in closed form, against the one it stands for.

    The probability of k is the normal density's mean under a triangle of width two around k.
    """
    deviation, x = LEAST_SHARE, 0.37
    k = np.arange(-1_500, 1_501, 50)
    u = np.linspace(-1, 1, 20_001)
    triangle = (1 - np.abs(u)) * (u[1] - u[0])
    points = (k[:, None] - x + u[None, :]) / deviation
    law = np.exp(-(points**2) / 2) @ triangle
    wide = deviation**2 + 1 / 6
    meant = np.exp(-((k - x) ** 2) / (2 * wide)) * deviation / math.sqrt(wide)
    assert np.abs(law / meant - 1).max() < 1e-9


def test_sums_of_silos_of_the_least_noise_have_its_variance() -> None:
    total = np.zeros(60_000, dtype=np.int64)
    for place in range(5):
        out = np.empty(total.size, dtype=np.uint32)
        zeros = np.zeros(total.size, np.float32)
        quantize(zeros, 1.0, 24, Rounding(bytes([place]) * 32), out, LEAST_SHARE)
        total += out.view(np.int32)
    expected = math.sqrt(5 * (LEAST_SHARE**2 + 1 / 6))
    assert _deviations(total.astype(np.float64), expected) < 4
    assert float((total**4).mean()) == pytest.approx(3 * expected**4, rel=0.05)
