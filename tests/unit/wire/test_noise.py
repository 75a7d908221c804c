"""What a plan asks of noise, and what an update says of it."""

import pytest

from agent.errors import Refused
from agent.wire.documents import LocalNoise, MaskRules, PaidNoise, PaidShare, Plan, SharedNoise
from tests.kit.consortium import RECIPE, Consortium

NOISE = LocalNoise(epsilon=8.0, delta=1e-5, clip=0.5, sampling_rate=0.03)
SHARED = SharedNoise(
    masking=MaskRules(), epsilon=8.0, delta=1e-5, noise=1.5, clip=0.5, sampling_rate=0.03
)


def _plan(weighting: str, noise: LocalNoise | SharedNoise = NOISE) -> bytes:
    recipe = RECIPE.model_copy(update={"weighting": weighting})
    return Consortium().plan_document(privacy=noise, recipe=recipe).to_bytes()


def test_an_epoch_samples_each_compound_once_in_the_mean() -> None:
    assert NOISE.steps(RECIPE) == 34
    assert NOISE.steps(RECIPE.model_copy(update={"local_epochs": 3})) == 100


def test_a_plan_with_noise_is_read_back() -> None:
    assert Plan.parse(_plan("uniform")).privacy == NOISE
    assert Plan.parse(_plan("uniform", SHARED)).privacy == SHARED


@pytest.mark.parametrize("noise", [NOISE, SHARED])
@pytest.mark.parametrize("weighting", ["n", "sqrt_n"])
def test_no_weight_may_tell_how_many_compounds_there_are(
    weighting: str, noise: LocalNoise | SharedNoise
) -> None:
    with pytest.raises(Refused, match="malformed"):
        Plan.parse(_plan(weighting, noise))


def test_an_update_says_what_the_plan_asked() -> None:
    paid = PaidNoise(
        **NOISE.model_dump(),
        noise=1.2,
        epsilon_after=3.0,
        after_delta=1e-5,
        account_head="0" * 64,
    )
    assert paid.asked() == NOISE
    fields = {name: getattr(SHARED, name) for name in SharedNoise.model_fields}
    share = PaidShare(**fields, epsilon_after=3.0, after_delta=1e-5, account_head="0" * 64)
    assert share.asked() == SHARED


def test_noise_is_shared_under_masks_only() -> None:
    unmasked = SHARED.to_bytes().replace(SHARED.masking.to_bytes(), b"null")
    with pytest.raises(Refused, match="malformed"):
        SharedNoise.parse(unmasked)


@pytest.mark.parametrize(
    "change", [{"epsilon": 0.0}, {"delta": 0.01}, {"clip": 0.0}, {"sampling_rate": 0.0}]
)
def test_terms_that_protect_nobody_are_malformed(change: dict[str, float]) -> None:
    with pytest.raises(Refused, match="malformed"):
        LocalNoise.parse(NOISE.model_copy(update=change).to_bytes())
