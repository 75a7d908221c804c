from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.keeper.work.release import build_release
from agent.learning.certainty import read_certainty
from agent.learning.similarity import Index
from agent.releases import folder
from agent.releases.card import read_card

HOLDING_OUT = f"{5:064x}"  # this key puts two of the ring systems into the held-out fold

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


def test_other_weights_than_the_manifests_are_refused(bench: "Bench") -> None:
    order = bench.release_order(bench.frozen())
    content = bytearray(bench.consortium.base)
    content[-1] ^= 1
    Path(order.weights).write_bytes(content)
    with pytest.raises(Refused, match="wrong_object"):
        build_release(order, bench.folder("one"), bench.report)
