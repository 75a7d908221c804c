from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.keeper.work.release import build_release
from agent.releases import folder
from agent.releases.card import read_card

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
