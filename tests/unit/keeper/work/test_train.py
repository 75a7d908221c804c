from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from agent.errors import Refused
from agent.features.reference import reference_sha256
from agent.files import sha256_bytes
from agent.keeper.orders import MOMENTS, QuorumRule
from agent.keeper.work import train as work_train
from agent.keeper.work.problem import HELD_OUT_FOLD, load_problem
from agent.keeper.work.train import baseline, train_round
from agent.learning.checkpoint import Checkpoint
from agent.learning.private import fit_private
from agent.wire.documents import LocalNoise, MaskRules, SharedNoise
from agent.wire.members import of_member
from agent.wire.network import expected_shapes, initial_weights, round_shapes
from agent.wire.update import decode_some, encode, unpack
from tests.kit.consortium import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.keeper.orders import RoundOrder
    from tests.unit.keeper.work.conftest import Bench


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, make_bench: "Callable[[Path], Bench]"
) -> "tuple[Bench, Path]":
    bench = make_bench(tmp_path_factory.mktemp("bench"))
    return bench, bench.frozen()


def test_held_out_compounds_are_in_no_training_label(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    problem = load_problem(bench.baseline_order(snapshot))
    assert HELD_OUT_FOLD == 0
    assert not set(problem.train.rows) & set(problem.held_out.rows)
    assert len(problem.train.rows) + len(problem.held_out.rows) == 98
    assert [task.name for task in problem.tasks] == ["private:own", "solubility"]


def test_too_few_labels_are_refused_with_a_sentence(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    few = bench.settings.model_copy(update={"min_labels": 1000})
    order = bench.baseline_order(snapshot).model_copy(update={"settings": few})
    with pytest.raises(Refused, match="1000 training labels") as refused:
        load_problem(order)
    assert refused.value.code == "too_few_labels"


def test_a_task_below_its_quorum_waits(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    for labels, names in ((49, ["private:own", "solubility"]), (50, [])):
        rule = QuorumRule(labels=labels, uncensored=25, each_class=25)
        settings = bench.settings.model_copy(update={"quorum": rule})
        order = bench.baseline_order(snapshot).model_copy(update={"settings": settings})
        if names:
            assert [task.name for task in load_problem(order).tasks] == names
        else:
            with pytest.raises(Refused, match="quorum"):
                load_problem(order)


def test_the_local_model_is_scored_on_every_head(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    result = baseline(bench.baseline_order(snapshot), bench.folder("alone"), bench.report)
    assert {score.task for score in result.scores} == {"private:own", "solubility"}
    assert all(score.n_train >= 5 for score in result.scores)


def test_a_training_that_was_killed_goes_on(
    shared: "tuple[Bench, Path]", monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, snapshot = shared
    monkeypatch.setattr("agent.keeper.work.train.Checkpoint", partial(Checkpoint, every_s=0.0))
    whole = baseline(bench.baseline_order(snapshot), bench.folder("whole"), bench.report)
    told: list[int] = []

    def report(stage: str, done: int, total: int) -> None:
        told.append(done)
        if len(told) == 2:
            raise KeyboardInterrupt

    job = bench.folder("killed")
    with pytest.raises(KeyboardInterrupt):
        baseline(bench.baseline_order(snapshot), job, report)
    assert baseline(bench.baseline_order(snapshot), job, report).scores == whole.scores
    assert told[:4] == [1, 2, 2, 3]


def test_a_private_head_is_kept_here_and_never_packed(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    job = bench.folder("round")
    result = train_round(bench.round_order(snapshot), job, bench.report)
    assert result.groups == ("head.solubility", "trunk")
    assert result.reference_sha256 == reference_sha256(FEATURES)
    payload = (job / "update.safetensors").read_bytes()
    assert b"own" not in payload
    products, weights = unpack(payload, bench.consortium.shapes)
    assert set(weights) == {"trunk", "head.solubility"}
    assert any(bool(array.any()) for array in products.values())
    assert b"head.private:own" in (job / "private.safetensors").read_bytes()
    again = bench.folder("again")
    own = str(job / "private.safetensors")
    train_round(bench.round_order(snapshot, own), again, bench.report)
    assert (again / "private.safetensors").read_bytes() != (
        job / "private.safetensors"
    ).read_bytes()  # it went on from where it was


def test_private_heads_of_another_network_start_anew(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    other = bench.root / "other.safetensors"
    other.write_bytes(bench.consortium.base)
    job = bench.folder("anew")
    train_round(bench.round_order(snapshot, str(other)), job, bench.report)
    assert (job / "private.safetensors").exists()


def test_base_weights_that_do_not_fit_are_refused(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    order = bench.round_order(snapshot)
    content = b"no tensors"
    Path(order.base).write_bytes(content)
    with pytest.raises(Refused, match="wrong_object"):  # whoever carried it
        train_round(order, bench.folder("bad"), bench.report)
    changes = {"base_sha256": sha256_bytes(content), "base_bytes": len(content)}
    manifest = order.manifest.model_copy(update=changes)
    with pytest.raises(Refused, match="bad_tensors"):
        train_round(
            order.model_copy(update={"manifest": manifest}), bench.folder("bad"), bench.report
        )


def _with_noise(order: "RoundOrder", noise: float) -> "RoundOrder":
    asked = LocalNoise(epsilon=8.0, delta=1e-5, clip=1.0, sampling_rate=0.25)
    recipe = order.plan.recipe.model_copy(update={"weighting": "uniform", "held_back": 0.2})
    plan = order.plan.model_copy(update={"privacy": asked, "recipe": recipe})
    return order.model_copy(update={"plan": plan, "noise": noise})


def test_a_round_with_noise_tells_no_number_and_never_the_same(
    shared: "tuple[Bench, Path]",
) -> None:
    bench, snapshot = shared
    order = _with_noise(bench.round_order(snapshot), 1.0)
    shapes = expected_shapes(order.plan.network, FEATURES, order.plan.endpoints)
    updates = []
    for name in ("noisy", "again-noisy"):
        train_round(order, bench.folder(name), bench.report)
        content = (bench.root / name / "update.safetensors").read_bytes()
        updates.append(unpack(content, shapes, order.plan.recipe.weight_cap))
        # Nothing of a training that was killed may be gone on from: it would be paid for once.
        assert not (bench.root / name / "checkpoint").exists()
    (first, weight), (second, _) = updates
    assert set(weight.values()) == {1.0}
    # Every number carries noise: a bit that no compound sets looks like the others.
    assert all((first[name] != second[name]).mean() > 0.99 for name in first)


def test_nothing_that_was_not_paid_for_goes_into_a_round_with_noise(
    shared: "tuple[Bench, Path]", monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, snapshot = shared
    job = bench.folder("plain")
    train_round(bench.round_order(snapshot), job, bench.report)
    own = str(job / "private.safetensors")
    looking = Mock(wraps=fit_private)
    monkeypatch.setattr(work_train, "fit_private", looking)
    for number, private in enumerate(("", own)):
        order = _with_noise(bench.round_order(snapshot, private), 1.0)
        recipe = order.plan.recipe.model_copy(update={"keep_moments": True})
        plan = order.plan.model_copy(update={"recipe": recipe})
        order = order.model_copy(update={"plan": plan, "moments": own})
        train_round(order, bench.folder(f"paid-{number}"), bench.report)
    first, second = looking.call_args_list
    heads = [call.args[0]["head.private:own.weight"].tobytes() for call in (first, second)]
    assert heads[0] == heads[1]
    assert second.kwargs["moments"] is None


def test_a_round_that_was_not_paid_for_is_not_trained(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    order = _with_noise(bench.round_order(snapshot), 0.0)
    with pytest.raises(Refused, match="no_noise"):
        train_round(order, bench.folder("unpaid"), bench.report)


def test_dates_decide_nothing_under_a_plan_with_noise(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    problem = load_problem(_with_noise(bench.round_order(snapshot), 1.0))
    assert set(problem.train_dates) == {""}
    assert problem.train.importance is None


def test_moments_go_on_over_rounds_where_the_plan_wants_it(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    plain = bench.round_order(snapshot)
    train_round(plain, bench.folder("plain"), bench.report)
    assert not (bench.root / "plain" / MOMENTS).exists()
    recipe = plain.plan.recipe.model_copy(update={"keep_moments": True})
    order = plain.model_copy(update={"plan": plain.plan.model_copy(update={"recipe": recipe})})
    first, second, fresh = (bench.folder(name) for name in ("first", "second", "fresh"))
    train_round(order, first, bench.report)
    moments = first / MOMENTS
    assert moments.stat().st_mode & 0o777 == 0o600
    payload = (first / "update.safetensors").read_bytes()
    assert b"second/" not in payload  # nothing of them is in what is sealed
    train_round(order.model_copy(update={"moments": str(moments)}), second, bench.report)
    train_round(order, fresh, bench.report)
    assert (fresh / "update.safetensors").read_bytes() == payload
    assert (second / "update.safetensors").read_bytes() != payload
    moments.chmod(0o600)
    moments.write_bytes(b"damaged")
    again = bench.folder("again after damage")
    train_round(order.model_copy(update={"moments": str(moments)}), again, bench.report)
    assert (again / "update.safetensors").read_bytes() == payload


def test_a_proximal_term_keeps_the_trunk_near_its_base(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    order, moved = bench.round_order(snapshot), []
    for mu in (0.0, 1000.0):
        recipe = order.plan.recipe.model_copy(update={"proximal": mu, "local_epochs": 20})
        plan = order.plan.model_copy(update={"recipe": recipe})
        job = bench.folder(f"mu {mu}")
        train_round(order.model_copy(update={"plan": plan}), job, bench.report)
        payload = (job / "update.safetensors").read_bytes()
        products, _ = unpack(payload, bench.consortium.shapes)
        moved.append(sum(float(abs(v).sum()) for n, v in products.items() if "trunk" in n))
    assert moved[1] < moved[0]


def test_what_is_held_back_is_not_learned_in_rounds(bench: "Bench") -> None:
    snapshot = bench.frozen(7, f"{18:064x}")  # a key under which the fold to choose on is not empty
    order = bench.round_order(snapshot)
    weights = []
    for share in (0.0, 0.15):
        recipe = order.plan.recipe.model_copy(update={"held_back": share})
        plan = order.plan.model_copy(update={"recipe": recipe})
        job = bench.folder(f"held back {share}")
        train_round(order.model_copy(update={"plan": plan}), job, bench.report)
        payload = (job / "update.safetensors").read_bytes()
        weights.append(unpack(payload, bench.consortium.shapes)[1]["trunk"])
    assert weights[1] < weights[0]  # it counts for what it learned from


def test_a_round_of_the_second_network_packs_it_alone(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    order = bench.round_order(snapshot)
    plan = order.plan.model_copy(
        update={
            "network": order.plan.network.model_copy(update={"members": 2}),
            "recipe": order.plan.recipe.model_copy(update={"keep_moments": True}),
        }
    )
    base = encode(initial_weights(plan.network, plan.features, plan.endpoints))
    path = bench.folder("two") / "base"
    path.write_bytes(base)
    jobs = []
    resting = {"private_weights": "", "moments": ""}
    for number in (1, 2, 3):
        manifest = order.manifest.model_copy(
            update={"number": number, "base_sha256": sha256_bytes(base), "base_bytes": len(base)}
        )
        own = {"plan": plan, "manifest": manifest, "base": str(path), **resting}
        job = bench.folder(f"two-{number}")
        result = train_round(order.model_copy(update=own), job, bench.report)
        prefix = "1/" if number == 2 else ""
        assert result.groups == (f"{prefix}head.solubility", f"{prefix}trunk")
        shapes = round_shapes(plan.network, plan.features, plan.endpoints, number)
        products, _ = unpack((job / "update.safetensors").read_bytes(), shapes)
        assert any(bool(array.any()) for array in products.values())
        resting = {
            "private_weights": str(job / "private.safetensors"),
            "moments": str(job / MOMENTS),
        }
        jobs.append(job)
    # What rests between rounds has both networks; a round moves its own alone.
    private = [decode_some((job / "private.safetensors").read_bytes()) for job in jobs]
    assert private[0].keys() == private[1].keys() >= {"1/head.private:own.bias"}
    for member in (0, 1):
        first, second, third = (of_member(tensors, member) for tensors in private)
        name = "head.private:own.weight"
        assert bool((first[name] == second[name]).all()) == (member == 0)
        assert bool((second[name] == third[name]).all()) == (member == 1)
    moments = decode_some((jobs[2] / MOMENTS).read_bytes())
    assert of_member(moments, 0).keys() == of_member(moments, 1).keys()


def _with_shared_noise(order: "RoundOrder", rate: float) -> "RoundOrder":
    asked = SharedNoise(
        masking=MaskRules(), epsilon=8.0, delta=1e-5, noise=1.0, clip=0.5, sampling_rate=rate
    )
    recipe = order.plan.recipe.model_copy(update={"weighting": "uniform", "held_back": 0.2})
    plan = order.plan.model_copy(update={"privacy": asked, "recipe": recipe})
    return order.model_copy(update={"plan": plan})


def test_under_shared_noise_a_round_is_one_clipped_step(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    order = _with_shared_noise(bench.round_order(snapshot), 1.0)
    job, plan = bench.folder("shared"), order.plan
    result = train_round(order, job, bench.report)
    shapes = expected_shapes(plan.network, FEATURES, plan.endpoints)
    change, weight = unpack((job / "update.safetensors").read_bytes(), shapes)
    assert set(weight.values()) == {1.0}
    assert set(result.groups) == set(weight) == {"trunk", "head.solubility"}
    problem = load_problem(order)
    older, _ = problem.split(0.2)
    compounds = len(set(older.rows[older.cols == 1].tolist()))
    norm = sum(float((one.astype(float) ** 2).sum()) for one in change.values()) ** 0.5
    step = plan.recipe.learning_rate / plan.recipe.batch_size
    assert 0 < norm <= compounds * 0.5 * step * (1 + 1e-6)
    assert (job / "update.safetensors").stat().st_mode & 0o777 == 0o600
    # Nothing of its private head was trained, nor is anything kept between rounds.
    assert not (job / "private.safetensors").exists()
    assert not (job / MOMENTS).exists()


def test_a_round_that_samples_nobody_changes_nothing(shared: "tuple[Bench, Path]") -> None:
    bench, snapshot = shared
    order = _with_shared_noise(bench.round_order(snapshot), 1e-4)
    job = bench.folder("nobody")
    train_round(order, job, bench.report)
    shapes = expected_shapes(order.plan.network, FEATURES, order.plan.endpoints)
    change, weight = unpack((job / "update.safetensors").read_bytes(), shapes)
    assert set(weight) == {"trunk", "head.solubility"}
    assert set(change) == {one for one in shapes if "logbb" not in one}
