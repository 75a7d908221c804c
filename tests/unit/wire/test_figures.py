"""Gates' figures added up unread: the sum opens, and nothing else does."""

import numpy as np
import pytest

from agent.errors import Refused
from agent.wire.figures import Errors, Figures, Mean, key_id, numbers, opened, sealed, summed
from agent.wire.homomorphic import SumKey

HEADS = ("logd", "caco2", "herg")
FOUND: tuple[Errors, ...] = (
    {"logd": (0.50, 0.40), "caco2": (0.2, 0.3)},
    {"logd": (1.00, 1.10), "caco2": (0.4, 0.4)},
    {"logd": (0.80, 0.60), "herg": (0.1, 0.2), "private:x": (0.1, 9.0)},
)


@pytest.fixture(scope="module")
def key() -> SumKey:
    return SumKey.fresh()


@pytest.fixture(scope="module")
def public(key: SumKey) -> bytes:
    return key.public


def _figures(public: bytes, silo: str, errors: Errors) -> Figures:
    return Figures(
        consortium="demo",
        silo=silo,
        release_id="release-1",
        weights_sha256="ab" * 32,
        heads=HEADS,
        key_sha256=key_id(public),
        pieces=sealed(public, HEADS, errors),
        created="2026-01-01T00:00:00Z",
    )


@pytest.fixture(scope="module")
def given(public: bytes) -> list[Figures]:
    return [_figures(public, f"silo-{place}", one) for place, one in enumerate(FOUND)]


def _code(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


def test_the_sum_opens_to_means_and_to_nothing_where_too_few_judged(
    key: SumKey, public: bytes, given: list[Figures]
) -> None:
    found = opened(summed(given, public), key)
    assert list(found) == list(HEADS)
    assert found["logd"].silos == 3
    assert found["logd"].change == pytest.approx((-0.2 + 0.1 - 0.25) / 3, abs=1e-5)
    assert found["caco2"] == Mean(2, None)
    assert found["herg"] == Mean(1, None)


@pytest.mark.parametrize(
    "errors",
    [
        {},
        {"logd": (None, 0.5)},
        {"logd": (0.5, None)},
        {"logd": (0.0, 0.5)},
        {"logd": (0.5, float("nan"))},
        {"logd": (float("inf"), 0.5)},
    ],
)
def test_what_was_not_judged_is_zeros(errors: Errors) -> None:
    assert not numbers(HEADS, errors).any()


def test_a_change_is_bounded_so_that_no_silo_drowns_the_others() -> None:
    found = numbers(("a", "b"), {"a": (1e-6, 1.0), "b": (1.0, 0.0)})
    np.testing.assert_array_equal(found, [1.0, 10.0, 1.0, -1.0])


def test_sums_that_say_too_much_are_refused(
    key: SumKey, public: bytes, given: list[Figures]
) -> None:
    total = summed(given, public)
    assert _code(summed, given[:2], public) == "too_few_silos"
    assert _code(summed, [*given, given[0]], public) == "second_figures"
    alone = total.model_copy(update={"silos": total.silos[:1] * 3})
    assert _code(opened, alone, key) == "too_few_silos"


def test_files_that_do_not_belong_together_are_refused(
    key: SumKey, public: bytes, given: list[Figures]
) -> None:
    other = given[0].model_copy(update={"release_id": "release-2"})
    assert _code(summed, [other, *given[1:]], public) == "mixed_figures"
    foreign = given[0].model_copy(update={"key_sha256": "0" * 64})
    assert _code(summed, [foreign, *given[1:]], public) == "wrong_key"
    broken = given[0].model_copy(update={"pieces": ("?",)})
    assert _code(summed, [broken, *given[1:]], public) == "bad_ciphertext"
    assert _code(opened, summed(given, public), SumKey.fresh()) == "wrong_key"


def test_the_aggregator_cannot_open_a_silos_figures(
    key: SumKey, public: bytes, given: list[Figures]
) -> None:
    assert _code(opened, summed(given, public), SumKey("ckks", public)) == "no_secret"
