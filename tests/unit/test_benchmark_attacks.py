"""The attacks work where nothing defends, and the defences hold, on a small world."""

import numpy as np
import pytest

from agent.features.fast import Featurizer
from benchmarks.attack_gradients import (
    bits_auc,
    exact_compounds,
    one_gradient,
    recovered,
    two_epochs,
)
from benchmarks.attack_members import judged, members
from benchmarks.attack_rounds import differencing, two_models
from benchmarks.attack_world import COUNTS, Scale, World, masked, private, spec_of
from benchmarks.attacks import interval, main
from benchmarks.lira import halves
from benchmarks.noisy import Noise

SMILES = [
    f"{'C' * n}{middle}{end}"
    for n in range(1, 9)
    for middle in ("", "C(=O)N", "c1ccc(cc1)", "OC")
    for end in ("O", "N", "Cl", "Br", "S")
]


@pytest.fixture(scope="module")
def world() -> World:
    spec = spec_of(512)
    features, _ = Featurizer(spec).featurize_smiles(SMILES)
    return World.of(features.take(np.flatnonzero(features.usable)), spec, (64, 32))


def _figures(rows: list[tuple[str, list[float]]]) -> dict[str, float]:
    return {name: float(np.mean(runs)) for name, runs in rows}


def test_a_gradient_tells_every_bit_and_a_masked_vector_none(world: World) -> None:
    found = _figures(list(one_gradient(world, Scale.quick())))
    assert found["G1 one gradient of 16: union of bits exact; no defence"] == 1.0
    assert 0.3 < found["G1 AUC of bit presence: the vector under masks"] < 0.7


@pytest.mark.slow
def test_the_compounds_of_a_small_batch_are_solved_for(world: World) -> None:
    found = _figures(list(exact_compounds(world, Scale.quick())))
    assert found["G2 exact fingerprints, batch 4: no defence"] > 0.5
    assert found["G2 exact fingerprints, batch 4: the vector under masks"] == 0.0


@pytest.mark.slow
def test_noise_and_clipping_hide_the_bits_of_a_step(world: World) -> None:
    rows = world.draw(4, 3)
    noisy = private(world, world.start(), rows, 1.0, 0)
    assert recovered(world, noisy, rows) == 0.0
    assert bits_auc(world, noisy, world.start(), rows) < 0.8


@pytest.mark.slow
def test_a_change_after_a_round_tells_the_bits(world: World) -> None:
    found = _figures(list(two_epochs(world, Scale.quick())))
    assert found["G4 AUC of bit presence after 2 epochs: no defence"] > 0.99
    assert 0.3 < found["G4 AUC of bit presence after 2 epochs: the vector under masks"] < 0.7


def test_two_sums_tell_the_one_between_unless_the_rule_refuses(world: World) -> None:
    shares = [figure for _, figure in _figures(list(differencing(world, Scale.quick()))).items()]
    assert shares == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.slow
def test_seeds_that_are_bound_to_the_model_hide_the_one_who_got_another(world: World) -> None:
    unbound, bound = _figures(list(two_models(world, Scale.quick()))).values()
    assert unbound > 0.4
    assert bound == 0.0


def test_lira_tells_members_of_a_model_that_remembers() -> None:
    chance = np.random.default_rng(1)
    inside = halves(16, 400, 2)
    residuals = chance.normal(0.0, 1.0, 400) * ~inside + chance.normal(0.0, 0.2, inside.shape)
    assert float(np.mean(judged(residuals, inside)["AUC"])) > 0.75


@pytest.mark.slow
def test_noise_hides_who_was_learned_from(world: World) -> None:
    rows = np.arange(len(world.features))
    inside = halves(8, len(rows), 2)
    noise = Noise(1.0, rounds=1, steps=10, rate=1.0, lot=40)
    start, areas = world.start(), []
    for models in (
        [world.trained(start, rows[own], 200, at) for at, own in enumerate(inside)],
        [world.noisy(start, rows[own], noise, 0, at) for at, own in enumerate(inside)],
    ):
        residuals = np.stack([world.said(one, rows) for one in models]) - world.values[rows]
        areas.append(float(np.mean(judged(residuals, inside)["AUC"])))
    assert areas[0] > 0.7
    assert areas[1] < 0.58


def test_the_rows_of_membership_are_all_there(world: World) -> None:
    names = [name for name, _ in members(world, Scale.quick())]
    assert sum("each with epsilon 8, the release after 1 rounds" in name for name in names) == 3
    assert sum("no noise, the sum of a round" in name for name in names) == 3


def test_masked_words_do_not_depend_on_the_update(world: World) -> None:
    update = {COUNTS: np.full((512, 64), 0.2, np.float32)}
    words = masked(update, 5)[COUNTS]
    assert abs(float(words.mean())) < 0.02
    assert float(words.std()) == pytest.approx(1 / np.sqrt(3), abs=0.02)


def test_an_interval_holds_the_mean() -> None:
    low, high = interval([0.1, 0.2, 0.3])
    assert low < 0.2 < high


def test_unknown_parts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--parts", "everything"])
    assert "gradients" in capsys.readouterr().err
