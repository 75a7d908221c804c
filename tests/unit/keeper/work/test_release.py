from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.keeper.work.problem import load_problem
from agent.keeper.work.release import build_release
from agent.learning.certainty import read_certainty
from agent.learning.ensemble import Ensemble, predict_ensemble
from agent.learning.members import decode_members, encode_members
from agent.learning.score import score_tasks
from agent.learning.similarity import Index
from agent.releases import folder
from agent.releases.card import read_card, write_card
from agent.wire.network import initial_weights
from agent.wire.update import encode

HOLDING_OUT = f"{5:064x}"  # this key puts two of the ring systems into the held-out fold
PARTED = f"{18:064x}"  # and this one parts them into held out, newest and older

if TYPE_CHECKING:
    from tests.unit.keeper.work.conftest import Bench


def test_a_release_is_staged_whole_and_scored_beside_the_active_one(bench: "Bench") -> None:
    snapshot = bench.frozen()
    first = build_release(bench.release_order(snapshot), bench.folder("one"), bench.report)
    staged = bench.root / "one" / "release"
    assert all((staged / name).is_file() for name in folder.REQUIRED)
    card = read_card(staged)
    assert {task.task for task in card.tasks} == {"logbb", "solubility", "private:own"}
    assert (staged / folder.WEIGHTS).read_bytes() == bench.consortium.base
    assert first.active_scores == ()
    order = bench.release_order(snapshot, active=str(staged))
    second = build_release(order, bench.folder("two"), bench.report)
    assert {pair.task for pair in second.pairs} == {score.task for score in second.scores}
    assert all(pair.candidate == pair.active for pair in second.pairs)
    scored = {score.task: score.value for score in second.active_scores}
    assert scored == {score.task: score.value for score in first.scores}


def test_a_release_says_how_sure_it_is(bench: "Bench") -> None:
    order = bench.release_order(bench.frozen(20, HOLDING_OUT))
    build_release(order, bench.folder("one"), bench.report)
    staged = bench.root / "one" / "release"
    card = read_card(staged)
    names = tuple(task.task for task in card.tasks)
    certainty = read_certainty(staged / folder.CALIBRATION)
    assert certainty.tasks() == names == Index.load(staged / folder.NEIGHBOURS).tasks
    assert card.layout == 2
    assert card.cost is not None
    assert card.cost.peak_mb > 1
    held_out = sum(task.n_test for task in card.tasks)
    assert held_out > 0
    assert card.window is not None
    assert card.window.labels == sum(task.n_train for task in card.tasks) + held_out
    for task in card.tasks:
        assert task.confidence is not None
        assert task.confidence.n == task.n_test  # nothing that was trained on calibrates
        assert sum(way.share for way in task.ways) == pytest.approx(1)


def test_an_active_release_that_cannot_be_read_is_no_obstacle(bench: "Bench") -> None:
    order = bench.release_order(bench.frozen(), active=str(bench.root / "none"))
    assert build_release(order, bench.folder("one"), bench.report).active_scores == ()


def test_an_active_release_with_other_features_is_not_compared(bench: "Bench") -> None:
    snapshot = bench.frozen()
    build_release(bench.release_order(snapshot), bench.folder("one"), bench.report)
    staged = bench.root / "one" / "release"
    card = read_card(staged)
    other = card.features.model_copy(update={"clip": 4.0})
    write_card(staged, card.model_copy(update={"features": other}))
    result = build_release(
        bench.release_order(snapshot, active=str(staged)), bench.folder("two"), bench.report
    )
    assert (result.active_scores, result.pairs) == ((), ())


def test_an_active_release_of_nothing_that_is_measured_is_not_compared(bench: "Bench") -> None:
    snapshot = bench.frozen()  # of solubility and the silo's own
    build_release(bench.release_order(snapshot), bench.folder("one"), bench.report)
    staged = bench.root / "one" / "release"
    card = read_card(staged)
    weights = initial_weights(card.network, card.features, ["logbb"])
    content = encode_members(Ensemble.of_one(weights, card.network, 1))
    (staged / folder.PERSONAL).write_bytes(content)
    only = tuple(task for task in card.tasks if task.task == "logbb")
    write_card(staged, card.model_copy(update={"tasks": only}))
    order = bench.release_order(snapshot, active=str(staged))
    result = build_release(order, bench.folder("two"), bench.report)
    assert (result.active_scores, result.pairs) == ((), ())


def test_other_weights_than_the_manifests_are_refused(bench: "Bench") -> None:
    order = bench.release_order(bench.frozen())
    content = bytearray(bench.consortium.base)
    content[-1] ^= 1
    Path(order.weights).write_bytes(content)
    with pytest.raises(Refused, match="wrong_object"):
        build_release(order, bench.folder("one"), bench.report)


def test_the_model_as_served_is_what_is_scored_and_kept(bench: "Bench") -> None:
    order = bench.release_order(bench.frozen(20, PARTED))
    recipe = order.plan.recipe.model_copy(update={"held_back": 0.15})
    plan = order.plan.model_copy(update={"recipe": recipe})
    order = order.model_copy(update={"plan": plan})
    result = build_release(order, bench.folder("one"), bench.report)
    staged = bench.root / "one" / "release"
    card = read_card(staged)
    heads = [task.task for task in card.tasks]
    content = (staged / folder.PERSONAL).read_bytes()
    ensemble = decode_members(content, card.network, card.features, heads)
    assert len(ensemble.members) == bench.settings.members + 1
    problem = load_problem(order)
    columns = [heads.index(task.name) for task in problem.tasks]
    served = Ensemble(ensemble.members, ensemble.shares[:, columns])
    said = predict_ensemble(served, problem.features, problem.tasks, "cpu")
    wanted = score_tasks(said.mean, problem.held_out, problem.tasks)
    assert {score.task: score.value for score in result.scores} == {
        name: pytest.approx(score.value, rel=1e-5) for name, score in wanted.items()
    }
    ways = {way.name: way.share for way in card.tasks[heads.index("logbb")].ways}
    assert ways == {"federated": 1.0, "personal": 0.0}
    assert "comparing personal and federated" in bench.reports
    assert card.tasks[heads.index("solubility")].n_compared > 0


def test_the_single_network_of_an_older_release_is_scored(bench: "Bench") -> None:
    snapshot = bench.frozen()
    build_release(bench.release_order(snapshot), bench.folder("one"), bench.report)
    staged = bench.root / "one" / "release"
    card = read_card(staged)
    heads = [task.task for task in card.tasks]
    personal = staged / folder.PERSONAL
    kept = decode_members(personal.read_bytes(), card.network, card.features, heads)
    personal.write_bytes(encode(kept.members[-1].weights))
    order = bench.release_order(snapshot, active=str(staged))
    result = build_release(order, bench.folder("two"), bench.report)
    assert {score.task for score in result.active_scores} == {"private:own", "solubility"}
