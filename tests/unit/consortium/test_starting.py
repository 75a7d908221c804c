"""A plan begins with the weights that it names, and with no others."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.errors import Refused, Stop
from agent.wire.network import initial_weights
from agent.wire.update import Weights, encode
from consortium.plans import Draft, complete
from consortium.starting import first_weights, read_start, starting_from
from tests.kit.consortium import FEATURES, NETWORK

if TYPE_CHECKING:
    from pathlib import Path

    from agent.wire.documents import Plan
    from tests.unit.consortium.conftest import House

ENDPOINTS = ("logd", "solubility")


@pytest.fixture
def plan(house: "House") -> "Plan":
    house.enrol("a", "b", "c")
    draft = Draft(plan_id="p1", endpoints=ENDPOINTS, features=FEATURES, network=NETWORK)
    with house.store.reading() as session:
        return complete(session, draft, house.settings, house.now)


def _learned(*heads: str) -> Weights:
    network = NETWORK.model_copy(update={"seed": 77})
    return initial_weights(network, FEATURES, heads)


def test_a_plan_without_a_start_begins_fresh(house: "House", plan: "Plan") -> None:
    base = first_weights(plan, house.folder.objects)
    content = (house.folder.objects / base.sha256).read_bytes()
    assert content == encode(initial_weights(NETWORK, FEATURES, ENDPOINTS))


def test_a_start_gives_the_trunk_and_the_heads_that_it_has(house: "House", plan: "Plan") -> None:
    learned = _learned("logd", "another")
    whole = starting_from(plan, encode(learned), house.folder.objects)
    base = first_weights(whole, house.folder.objects)
    assert base.sha256 == whole.start_sha256
    fresh = initial_weights(NETWORK, FEATURES, ENDPOINTS)
    kept = {name: tensor for name, tensor in learned.items() if "another" not in name}
    content = (house.folder.objects / base.sha256).read_bytes()
    assert len(content) == base.bytes
    assert content == encode({**fresh, **kept})


def _broken(change: str) -> bytes:
    learned = _learned(*ENDPOINTS)
    name = "trunk.dense.weight"
    match change:
        case "no trunk":
            del learned[name]
        case "other shape":
            learned[name] = learned[name][:, 1:]
        case "nan":
            learned[name][0, 0] = np.nan
        case "huge":
            learned[name][0, 0] = 1e9
    return encode(learned)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("no trunk", "wrong_tensors"),
        ("other shape", "wrong_tensors"),
        ("nan", "not_finite"),
        ("huge", "absurd_weights"),
    ],
)
def test_what_is_no_start_is_refused(house: "House", plan: "Plan", change: str, code: str) -> None:
    before = set(house.folder.objects.iterdir())
    with pytest.raises(Refused) as caught:
        starting_from(plan, _broken(change), house.folder.objects)
    assert caught.value.code == code
    assert set(house.folder.objects.iterdir()) == before


def test_a_file_that_is_not_there_or_no_weights(
    house: "House", plan: "Plan", tmp_path: "Path"
) -> None:
    with pytest.raises(Stop, match="safetensors"):
        read_start(tmp_path / "nothing")
    with pytest.raises(Refused) as caught:
        starting_from(plan, b"no weights", house.folder.objects)
    assert caught.value.code == "bad_tensors"


def test_a_lost_start_does_not_become_a_fresh_one(house: "House", plan: "Plan") -> None:
    whole = starting_from(plan, encode(_learned(*ENDPOINTS)), house.folder.objects)
    (house.folder.objects / str(whole.start_sha256)).unlink()
    with pytest.raises(Refused) as caught:
        first_weights(whole, house.folder.objects)
    assert caught.value.code == "unknown_object"
