from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.keeper.local import local_key
from agent.keeper.orders import BaselineOrder, Result, SnapshotOrder, TaskScore, TaskStanding
from agent.keeper.status import tasks

if TYPE_CHECKING:
    from agent.ledger.book import Detail
    from agent.wire.documents import Plan
    from tests.unit.keeper.conftest import House

NO_LABELS = Result(refused_code="no_labels", refused="No measurement could be used.")


@pytest.fixture
def plan(house: "House") -> "Plan":
    return house.consortium.plan_document()


def _ingested(house: "House", name: str, part: str, used: int = 0) -> None:
    detail: Detail = {"store": "files", "part": part, "used": used}
    house.ledger.add("file", name, "found", house.now, detail)
    for state in ("queued", "ingested"):
        house.ledger.move(house.item("file", name), state, house.now)
    house.later(1)


def _ordered(house: "House") -> list[SnapshotOrder]:
    orders = [house.workers.order(item) for item in house.ledger.find("job")]
    return [order for order in orders if isinstance(order, SnapshotOrder)]


def _frozen(house: "House", plan: "Plan") -> SnapshotOrder:
    house.snapshots.order(plan, house.now)
    order = _ordered(house)[-1]
    result = Result(compounds=9, labels={"logbb": 9})
    house.snapshots.book_frozen(order, result, house.now)
    return order


def _baseline(house: "House", plan: "Plan") -> BaselineOrder:
    ready = house.snapshots.ready(plan)
    assert ready is not None
    house.snapshots.order_baseline(ready, plan, house.consortium.catalogue, house.now)
    order = house.workers.order(house.ledger.find("job")[-1])
    assert isinstance(order, BaselineOrder)
    return order


def _end(house: "House", state: str = "finished") -> None:
    """Ends the newest job, as the pipeline does in the transaction that books its result."""
    for step in ("started", state):
        house.ledger.move(house.ledger.find("job")[-1], step, house.now)


def test_without_files_there_is_nothing_to_freeze(house: "House", plan: "Plan") -> None:
    house.snapshots.order(plan, house.now)
    assert not house.ledger.find("snapshot")
    assert house.snapshots.ready(plan) is None


def test_the_same_files_are_one_snapshot(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/b.csv", "p1")
    _ingested(house, "files/a.csv", "p2")
    _ingested(house, "files/b2.csv", "p1")  # renamed
    for _ in range(2):
        house.snapshots.order(plan, house.now)
    (order,) = _ordered(house)
    assert [part.folder[-2:] for part in order.parts] == ["p1", "p2"]  # oldest first
    assert house.state("snapshot", order.snapshot) == "wanted"


def test_the_snapshot_does_not_depend_on_the_order_of_reading(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/a.csv", "p1")
    _ingested(house, "files/b.csv", "p2")
    house.snapshots.order(plan, house.now)
    for state in ("found", "queued", "ingested"):
        house.ledger.move(house.item("file", "files/a.csv"), state, house.now)
    house.later(1)
    house.snapshots.order(plan, house.now)
    assert len(house.ledger.find("snapshot")) == 1


def test_another_file_or_other_folds_make_another_snapshot(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/a.csv", "p1")
    _frozen(house, plan)
    assert house.snapshots.ready(plan) is not None
    assert house.snapshots.ready(plan.model_copy(update={"fold_key": "11" * 32})) is None
    _ingested(house, "files/b.csv", "p2")
    assert house.snapshots.ready(plan) is None
    house.snapshots.order(plan, house.now)
    assert len(house.ledger.find("snapshot")) == 2


def test_frozen_then_scored(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/a.csv", "p1")
    order = _frozen(house, plan)
    assert house.item("snapshot", order.snapshot).detail["compounds"] == 9
    assert house.snapshots.ready(plan) is not None
    assert house.snapshots.scored(plan) is None
    baseline = _baseline(house, plan)
    score = TaskScore(task="logbb", metric="MAE", value=0.5, n_train=7, n_test=2)
    for _ in range(2):  # a result that is booked twice after a kill
        house.snapshots.book_baseline(baseline, Result(scores=(score,)), house.now)
        house.snapshots.book_frozen(order, Result(), house.now)
    _end(house)
    assert house.snapshots.scored(plan) == house.snapshots.ready(plan)
    key = local_key(order.snapshot, plan)
    assert [s.value for s in house.ledger.scores("local", key)] == [0.5]


def test_a_plan_with_another_recipe_gets_a_local_model_of_its_own(
    house: "House", plan: "Plan"
) -> None:
    _ingested(house, "files/a.csv", "p1")
    order = _frozen(house, plan)
    house.snapshots.book_baseline(_baseline(house, plan), Result(), house.now)
    _end(house)
    recipe = plan.recipe.model_copy(update={"rounds": 9})
    network = plan.network.model_copy(update={"hidden": (16,)})
    for changes in ({"recipe": recipe}, {"network": network}):
        other = plan.model_copy(update=changes)
        assert house.snapshots.ready(other) == house.snapshots.ready(plan)
        assert house.snapshots.scored(other) is None
        assert _baseline(house, other).plan == other
        assert local_key(order.snapshot, other) != local_key(order.snapshot, plan)
    renamed = plan.model_copy(update={"plan_id": "p2"})  # trained in the very same way
    assert house.snapshots.scored(renamed) is not None


def test_what_a_task_lacks_and_what_changed_stand_in_the_ledger(
    house: "House", plan: "Plan"
) -> None:
    _ingested(house, "files/a.csv", "p1")
    house.snapshots.order(plan, house.now, {"logbb": 0.3})
    (order,) = _ordered(house)
    assert order.quorum == house.site.settings.quorum
    assert (order.replicate_limits, order.previous) == ({"logbb": 0.3}, "")
    task = TaskStanding(
        task="logbb",
        n=9,
        censored=0,
        met=False,
        waits="waits for 41 more labelled compounds",
        noisy=False,
        drifted=False,
    )
    result = Result(compounds=9, tasks=(task,), changes={"added": 9, "retracted": 0})
    house.snapshots.book_frozen(order, result, house.now)
    detail = house.item("snapshot", order.snapshot).detail
    assert detail["changes"] == {"added": 9, "retracted": 0}
    assert tasks(house.ledger) == [task.model_dump()]
    _ingested(house, "files/b.csv", "p2")
    house.snapshots.order(plan, house.now)
    assert _ordered(house)[-1].previous.endswith(order.snapshot)


def test_a_snapshot_that_cannot_be_frozen(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/a.csv", "p1")
    house.snapshots.order(plan, house.now)
    (order,) = _ordered(house)
    for _ in range(2):
        house.snapshots.give_up(order, NO_LABELS, house.now)
    item = house.item("snapshot", order.snapshot)
    assert (item.state, item.why) == ("failed", "No measurement could be used.")
    assert house.snapshots.ready(plan) is None
    house.later(86400)
    house.snapshots.order(plan, house.now)  # it is not tried again and again
    assert len(_ordered(house)) == 1


@pytest.mark.parametrize("code", ["worker_died", "stop", "try_later"])
def test_a_failure_that_is_not_the_datas_fault_passes(
    house: "House", plan: "Plan", code: str
) -> None:
    _ingested(house, "files/a.csv", "p1")
    house.snapshots.order(plan, house.now)
    (order,) = _ordered(house)
    house.snapshots.give_up(order, Result(refused_code=code, refused="Not now."), house.now)
    house.later(3599)
    house.snapshots.order(plan, house.now)
    assert house.state("snapshot", order.snapshot) == "failed"
    house.later(1)
    house.snapshots.order(plan, house.now)
    assert house.state("snapshot", order.snapshot) == "wanted"
    assert len(_ordered(house)) == 2


def test_without_local_scores_training_goes_on(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/a.csv", "p1")
    order = _frozen(house, plan)
    too_few = Result(refused_code="too_few_labels", refused="Too few labels.")
    house.snapshots.give_up(_baseline(house, plan), too_few, house.now)
    _end(house, "failed")
    assert house.item("snapshot", order.snapshot).why == "Too few labels."
    assert house.snapshots.scored(plan) is not None


def test_a_snapshot_that_was_cleared_away_is_frozen_again(house: "House", plan: "Plan") -> None:
    _ingested(house, "files/a.csv", "p1")
    order = _frozen(house, plan)
    with house.ledger.transaction():
        score = TaskScore(task="logd", metric="MAE", value=0.5, n_train=9, n_test=3)
        house.snapshots.book_baseline(_baseline(house, plan), Result(scores=(score,)), house.now)
        _end(house)
    Path(order.folder).mkdir(parents=True)
    house.snapshots.order(plan, house.now)
    assert house.state("snapshot", order.snapshot) == "scored"
    Path(order.folder).rmdir()
    jobs = len(house.ledger.find("job"))
    house.snapshots.order(plan, house.now)
    assert house.state("snapshot", order.snapshot) == "wanted"
    assert house.snapshots.ready(plan) is None
    assert len(house.ledger.find("job")) == jobs + 1
    with house.ledger.transaction():
        house.snapshots.book_frozen(order, Result(compounds=9), house.now)
    assert house.state("snapshot", order.snapshot) == "scored"  # its scores are still known


def _with_few_new_rows(house: "House", plan: "Plan") -> SnapshotOrder:
    """A keeper that waits for 100 new measurements, has frozen some and found 40 more."""
    house.snapshots._min_new_rows = 100
    _ingested(house, "files/a.csv", "p1", used=500)
    order = _frozen(house, plan)
    Path(order.folder).mkdir(parents=True)
    house.later(1)
    _ingested(house, "files/b.csv", "p2", used=40)
    house.snapshots.order(plan, house.now)
    return order


def test_few_new_rows_wait_for_more_and_say_so(house: "House", plan: "Plan") -> None:
    order = _with_few_new_rows(house, plan)
    assert len(_ordered(house)) == 1
    ready = house.snapshots.ready(plan)
    assert ready is not None
    assert ready.snapshot == order.snapshot  # rounds go on with what is frozen
    assert "40 new measurements wait for 60 more" in house.item("snapshot", order.snapshot).why
    _ingested(house, "files/c.csv", "p3", used=60)
    house.snapshots.order(plan, house.now)
    assert len(_ordered(house)) == 2
    assert house.snapshots.ready(plan) is None
    assert house.item("snapshot", order.snapshot).why == ""


def test_few_new_rows_wait_for_a_day_at_most(house: "House", plan: "Plan") -> None:
    _with_few_new_rows(house, plan)
    house.later(86_400 - 2)
    house.snapshots.order(plan, house.now)
    assert len(_ordered(house)) == 1
    house.later(2)
    house.snapshots.order(plan, house.now)
    assert len(_ordered(house)) == 2


def test_few_new_rows_wait_over_a_restart(house: "House", plan: "Plan") -> None:
    order = _with_few_new_rows(house, plan)
    house.reopen()
    house.snapshots._min_new_rows = 100
    house.snapshots.order(plan, house.now)
    ready = house.snapshots.ready(plan)
    assert ready is not None
    assert ready.snapshot == order.snapshot


def test_a_file_that_goes_away_is_not_waited_for(house: "House", plan: "Plan") -> None:
    house.snapshots._min_new_rows = 100
    _ingested(house, "files/a.csv", "p1", used=500)
    _ingested(house, "files/b.csv", "p2", used=500)
    Path(_frozen(house, plan).folder).mkdir(parents=True)
    house.ledger.move(house.item("file", "files/b.csv"), "found", house.now)
    house.snapshots.order(plan, house.now)
    assert len(_ordered(house)) == 2


def test_a_plan_with_other_folds_does_not_wait(house: "House", plan: "Plan") -> None:
    _with_few_new_rows(house, plan)
    house.snapshots.order(plan.model_copy(update={"fold_key": "11" * 32}), house.now)
    assert len(_ordered(house)) == 2
