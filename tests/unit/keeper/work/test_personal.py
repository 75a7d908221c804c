from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.keeper.work import personal
from agent.keeper.work.personal import AVERAGE, FEDERATED, PERSONAL, personalize
from agent.keeper.work.problem import Problem, load_problem
from agent.keeper.work.train import Job, private_heads
from agent.learning.choosing import Comparison
from agent.learning.tasks import TaskSpec
from agent.wire.members import as_member
from agent.wire.update import Weights, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.unit.keeper.work.conftest import Bench

PARTED = f"{18:064x}"  # a key under which the fold to choose on has compounds
NEVER_MEASURED = TaskSpec("logbb", "regression")


@pytest.fixture(scope="module")
def bench(
    tmp_path_factory: pytest.TempPathFactory, make_bench: "Callable[[Path], Bench]"
) -> "Bench":
    made = make_bench(tmp_path_factory.mktemp("bench"))
    made.frozen(20, PARTED)
    return made


def _setting(bench: "Bench", **recipe: object) -> tuple[Weights, Problem, Job]:
    order = bench.baseline_order(bench.root / "frozen" / "snapshot")
    plan = order.plan.model_copy(update={"recipe": order.plan.recipe.model_copy(update=recipe)})
    problem = load_problem(order.model_copy(update={"plan": plan}))
    released = decode(bench.consortium.base, bench.consortium.shapes)
    release = {**released, **private_heads(problem, plan, "")}
    return release, problem, Job(plan, bench.settings, bench.folder("job"), bench.report)


def _shares(bench: "Bench", **recipe: object) -> dict[str, list[float]]:
    release, problem, job = _setting(bench, **recipe)
    specs = [NEVER_MEASURED, *problem.tasks]
    made = personalize(release, problem, specs, job)
    made.ensemble.check(specs)
    columns = made.ensemble.shares.T.tolist()
    return {task.name: column for task, column in zip(specs, columns, strict=True)}


def test_a_head_is_averaged_unless_another_is_better(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal, "_compared", lambda *_: {})
    shares = _shares(bench)
    assert shares["solubility"] == [0.25, 0.25, 0.5]
    assert shares["logbb"] == [0.0, 0.0, 1.0]  # nothing is measured here
    assert _shares(bench, personal_share=1.0)["solubility"] == [0.5, 0.5, 0.0]


@pytest.mark.parametrize(
    ("chosen", "wanted"), [(PERSONAL, [0.5, 0.5, 0.0]), (FEDERATED, [0.0, 0.0, 1.0])]
)
def test_the_choice_becomes_the_shares(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch, chosen: str, wanted: list[float]
) -> None:
    errors = {AVERAGE: 0.5, PERSONAL: 0.4, FEDERATED: 0.6}
    found: Mapping[str, Comparison] = {"solubility": Comparison(chosen, 30, errors, (0.01, 0.2))}
    monkeypatch.setattr(personal, "_compared", lambda *_: found)
    release, problem, job = _setting(bench)
    made = personalize(release, problem, problem.tasks, job)
    column = [task.name for task in problem.tasks].index("solubility")
    assert made.ensemble.shares[:, column].tolist() == wanted
    ways = {way.name: way for way in made.ways["solubility"]}
    assert (ways["personal"].share, ways["personal"].error) == (sum(wanted[:2]), 0.4)
    assert (ways["federated"].share, ways["federated"].error) == (wanted[2], 0.6)


def test_copies_differ_and_the_release_stays_as_it_came(bench: "Bench") -> None:
    release, problem, job = _setting(bench)
    made = personalize(release, problem, problem.tasks, job)
    first, second, federated = (member.weights for member in made.ensemble.members)
    assert all(np.array_equal(federated[name], release[name]) for name in release)
    assert not np.array_equal(first["trunk.dense.weight"], second["trunk.dense.weight"])


def test_without_fitting_the_release_answers_alone(bench: "Bench") -> None:
    assert set(map(tuple, _shares(bench, finetune_epochs=0).values())) == {(1.0,)}


def test_heads_are_compared_on_what_rounds_held_back(bench: "Bench") -> None:
    release, problem, job = _setting(bench)
    assert personal._compared(release, problem, job) == {}  # rounds have learned from everything
    release, problem, job = _setting(bench, held_back=0.15)
    found = personal._compared(release, problem, job)
    assert found
    assert all(set(one.errors) == {AVERAGE, PERSONAL, FEDERATED} for one in found.values())
    _, newest = problem.split(0.15)
    counts = np.bincount(newest.cols).tolist()
    assert {task.name: n for task, n in zip(problem.tasks, counts, strict=True)} == {
        name: one.n for name, one in found.items()
    }


def test_what_is_held_out_takes_no_part(bench: "Bench", monkeypatch: pytest.MonkeyPatch) -> None:
    release, problem, job = _setting(bench, held_back=0.15)
    wild = replace(problem.held_out, values=problem.held_out.values + np.float32(1e6))
    other = replace(problem, held_out=wild)
    one, two = (personal._compared(release, each, job) for each in (problem, other))
    assert one == two != {}


def test_each_network_of_a_release_has_copies(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(personal, "_compared", lambda *_: {})
    release, problem, job = _setting(bench)
    plan = job.plan.model_copy(
        update={"network": job.plan.network.model_copy(update={"members": 2})}
    )
    other = {name: tensor + np.float32(0.1) for name, tensor in release.items()}
    two = release | as_member(other, 1)
    specs = [NEVER_MEASURED, *problem.tasks]
    made = personalize(two, problem, specs, replace(job, plan=plan))
    made.ensemble.check(specs)
    assert made.ensemble.shares.T[0].tolist() == [0.0, 0.0, 0.5, 0.5]
    assert made.ensemble.shares.T[-1].tolist() == [0.25] * 4
    trunks = [member.weights["trunk.dense.bias"] for member in made.ensemble.members]
    assert all(
        np.array_equal(*pair)
        for pair in zip(
            trunks[2:], [release["trunk.dense.bias"], other["trunk.dense.bias"]], strict=True
        )
    )
    # Each copy left from its own network.
    assert abs(trunks[0] - trunks[2]).mean() < abs(trunks[0] - trunks[3]).mean()
    assert abs(trunks[1] - trunks[3]).mean() < abs(trunks[1] - trunks[2]).mean()
