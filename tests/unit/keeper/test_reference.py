from typing import TYPE_CHECKING

import pytest

from agent.keeper.orders import REFERENCE, ReferenceOrder, Result
from agent.releases import shelf

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def _orders(house: "House") -> list[ReferenceOrder]:
    orders = [house.workers.order(item) for item in house.ledger.find("job")]
    return [order for order in orders if isinstance(order, ReferenceOrder)]


def _order(house: "House", **changes: object) -> None:
    plan = house.consortium.plan_document()
    features = plan.features.model_copy(update=changes)
    house.references.order(house.ready(), features, house.consortium.catalogue, house.now)


def _end(house: "House", state: str = "finished") -> ReferenceOrder:
    """Ends the newest job, as the pipeline does in the transaction that books its result."""
    item = house.ledger.find("job")[-1]
    order = house.workers.order(item)
    assert isinstance(order, ReferenceOrder)
    house.ledger.move(item, "started", house.now)
    if state == "finished":
        folder = house.workers.path(item.id)
        folder.mkdir()
        (folder / REFERENCE).write_text(order.name)
        house.references.book(order, folder)
    house.ledger.move(house.ledger.find("job")[-1], state, house.now)
    return order


def test_a_snapshot_has_one_reference(house: "House") -> None:
    for _ in range(3):
        _order(house)
    (order,) = _orders(house)
    assert order.share == "values"
    _end(house)
    _order(house)
    assert len(_orders(house)) == 1
    assert shelf.current(house.paths.reference) == order.name


def test_other_features_make_another(house: "House") -> None:
    _order(house)
    first = _end(house)
    _order(house, radius=3)
    second = _end(house)
    assert first.name != second.name
    assert shelf.current(house.paths.reference) == second.name
    assert shelf.path_of(house.paths.reference, first.name).exists()


def test_one_that_was_cleared_away_is_made_again(house: "House") -> None:
    _order(house)
    order = _end(house)
    shelf.path_of(house.paths.reference, order.name).unlink()
    _order(house)
    assert [one.name for one in _orders(house)] == [order.name] * 2
    _end(house)
    assert shelf.path_of(house.paths.reference, order.name).exists()


def test_one_that_failed_is_not_tried_for_ever(house: "House") -> None:
    _order(house)
    _end(house, "failed")
    _order(house)
    assert len(_orders(house)) == 1


def test_nothing_is_laid_out_where_the_site_shares_nothing(house: "House") -> None:
    _order(house)
    _end(house)
    house.share = "nothing"
    house.reopen()
    assert list(house.paths.reference.iterdir()) == []
    _order(house)
    assert len(_orders(house)) == 1


def test_what_was_made_under_another_policy_is_thrown_away(house: "House") -> None:
    _order(house)
    house.share = "similarity"
    house.reopen()
    _end(house)
    assert shelf.current(house.paths.reference) == ""
    _order(house)
    assert _orders(house)[-1].share == "similarity"
    _end(house)
    assert shelf.current(house.paths.reference) == _orders(house)[-1].name


def test_the_pipeline_orders_books_and_survives_a_failure(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    plan = house.consortium.plan_document()
    house.pipeline._order_reference(plan, house.ready(), house.now)
    house.pipeline._order_reference(plan, None, house.now)
    house.pipeline._order_reference(None, house.ready(), house.now)
    (order,) = _orders(house)
    item = house.ledger.find("job")[-1]
    house.ledger.move(item, "started", house.now)
    folder = house.workers.path(item.id)
    folder.mkdir()
    (folder / REFERENCE).write_text("-")
    (folder / "result.json").write_text(Result(compounds=1).model_dump_json())
    for done, result in house.workers.ended(house.now):
        house.pipeline._book(done, result, house.now)
    assert house.state("job", item.id) == "finished"
    assert shelf.current(house.paths.reference) == order.name
    house.references.order(
        house.ready(),
        plan.features.model_copy(update={"radius": 3}),
        house.consortium.catalogue,
        house.now,
    )
    failing = house.ledger.find("job")[-1]
    house.ledger.move(failing, "started", house.now)
    house.pipeline._book(
        house.item("job", failing.id),
        Result(refused_code="damaged_snapshot", refused="It is damaged."),
        house.now,
    )
    assert house.state("job", failing.id) == "failed"
    assert shelf.current(house.paths.reference) == order.name


@pytest.mark.parametrize("share", ["values", "similarity"])
def test_the_name_says_what_is_shared(house: "House", share: str) -> None:
    house.share = share  # type: ignore[assignment]
    house.reopen()
    _order(house)
    names = {order.name for order in _orders(house)}
    house.share = "similarity" if share == "values" else "values"
    house.reopen()
    _order(house)
    assert len({order.name for order in _orders(house)} - names) == 1
