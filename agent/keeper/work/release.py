"""Checking a release, fitting the personal model, scoring both models, exporting ONNX."""

import logging
from collections.abc import Mapping
from pathlib import Path

from agent import log
from agent.assays.endpoints import PRIVATE, EndpointIndex
from agent.boxes import read_object
from agent.clock import monotonic_s
from agent.errors import Refused
from agent.files import write_atomic
from agent.keeper.orders import ReleaseOrder, Report, Result, TaskScore
from agent.keeper.work.certainty import measure
from agent.keeper.work.problem import Problem, load_problem, task_spec
from agent.keeper.work.release_card import describe, error_bands
from agent.keeper.work.train import finetune, held_out_scores, private_heads
from agent.learning.ensemble import Ensemble, predict_ensemble
from agent.learning.export import export_onnx
from agent.learning.intervals import Said
from agent.learning.score import Score, predict, score_tasks
from agent.releases import folder as release_folder
from agent.releases.card import read_card, write_card
from agent.releases.verify import check_weights
from agent.wire.network import expected_shapes
from agent.wire.update import Weights, decode, encode

_log = logging.getLogger(__name__)


def build_release(order: ReleaseOrder, folder: Path, report: Report) -> Result:
    """Stages a release in `folder/release` and scores it beside the active one.

    Raises:
        Refused: The weights are not what the manifest promises (`boxes.read_object`,
            `releases.verify`), or a code of `load_problem` or `learning.train.fit`.
    """
    began_s, manifest = monotonic_s(), order.manifest
    content = read_object(Path(order.weights), manifest.weights_sha256, manifest.weights_bytes)
    released = check_weights(content, order.manifest, order.plan)
    problem = load_problem(order)
    own = private_heads(problem, order.plan, order.private_weights)
    personal = finetune({**released, **own}, problem, order.plan, order.settings, folder, report)
    report("scoring and exporting", 0, 1)
    scores = held_out_scores(personal, problem, order.plan)
    staged = folder / "release"
    staged.mkdir(exist_ok=True)
    write_atomic(staged / release_folder.WEIGHTS, content)
    write_atomic(staged / release_folder.MANIFEST, order.container.encode("utf-8"))
    write_atomic(staged / release_folder.PERSONAL, encode(personal))
    _export(order, problem, personal, scores, staged, began_s)
    return Result(
        scores=problem.score_table(scores),
        active_scores=_active_scores(order, problem),
    )


def _export(
    order: ReleaseOrder,
    problem: Problem,
    personal: Weights,
    scores: Mapping[str, Score],
    staged: Path,
    began_s: float,
) -> None:
    index = EndpointIndex(order.catalogue, order.private)
    names = [*order.manifest.heads, *(t for t in problem.endpoints if t.startswith(PRIVATE))]
    plan, endpoints = order.plan, {name: index.endpoint(name) for name in names}
    specs = [task_spec(name, endpoint) for name, endpoint in endpoints.items()]
    ensemble = Ensemble.of_one(personal, plan.network, len(specs))
    export_onnx(ensemble, plan.features, specs, staged / release_folder.MODEL)
    said = predict_ensemble(ensemble, problem.features, specs)
    confidence = measure(problem, Said(said.mean, said.spread), specs, staged)
    bands = error_bands(said.mean, problem, specs)
    seconds = monotonic_s() - began_s
    card = describe(order, problem, endpoints, scores, confidence, bands, seconds)
    write_card(staged, card)


def _active_scores(order: ReleaseOrder, problem: Problem) -> tuple[TaskScore, ...]:
    """Scores the active release on the same labels, so that the gate compares like with like."""
    if not order.active:
        return ()
    folder = Path(order.active)
    try:
        card = read_card(folder)
        heads = [task.task for task in card.tasks]
        content = (folder / release_folder.PERSONAL).read_bytes()
        weights = decode(content, expected_shapes(card.network, card.features, heads))
    except (Refused, OSError):
        log.trouble(_log, "active release cannot be scored", release=folder.name)
        return ()
    if card.features != order.plan.features:
        log.trouble(_log, "active release reads other features", release=folder.name)
        return ()
    tasks, held_out = problem.only(heads)
    predictions = predict(weights, card.network, problem.features, tasks)
    return problem.score_table(score_tasks(predictions, held_out, tasks))
