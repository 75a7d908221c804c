"""Checking a release, fitting the personal model, scoring both models, exporting ONNX."""

import logging
from pathlib import Path

from agent import log
from agent.assays.endpoints import PRIVATE, EndpointIndex
from agent.boxes import read_object
from agent.clock import monotonic_s
from agent.errors import Refused
from agent.files import write_atomic
from agent.keeper.orders import ReleaseOrder, Report, Result
from agent.keeper.work.certainty import measure, renumbered
from agent.keeper.work.golden import check_golden, check_served
from agent.keeper.work.personal import personalize
from agent.keeper.work.problem import Problem, load_problem, task_spec
from agent.keeper.work.release_card import Found, describe, error_bands
from agent.keeper.work.shadow import Answers, compare, score_held_out
from agent.keeper.work.train import Job, private_heads
from agent.learning.ensemble import Ensemble, predict_ensemble
from agent.learning.export import export_onnx
from agent.learning.intervals import Said
from agent.learning.members import decode_members, encode_members
from agent.learning.score import score_tasks
from agent.releases import folder as release_folder
from agent.releases.card import read_card, write_card
from agent.releases.verify import check_weights
from agent.wire.documents import Endpoint

_log = logging.getLogger(__name__)


def build_release(order: ReleaseOrder, folder: Path, report: Report) -> Result:
    """Stages a release in `folder/release` and scores it beside the active one.

    Raises:
        Refused: The weights are not what the manifest promises (`boxes.read_object`,
            `releases.verify`), they do not answer as their maker says (`check_golden`), the graph
            is not its weights (`check_served`), or a code of `load_problem` or
            `learning.train.fit`.
    """
    began_s, manifest = monotonic_s(), order.manifest
    content = read_object(Path(order.weights), manifest.weights_sha256, manifest.weights_bytes)
    released = check_weights(content, order.manifest, order.plan)
    problem = load_problem(order)
    heads = _heads(order, problem)
    check_golden(order, released, heads, folder)
    own = private_heads(problem, order.plan, order.private_weights)
    specs = [task_spec(name, endpoint) for name, endpoint in heads.items()]
    job = Job(order.plan, order.settings, folder, report)
    personal = personalize({**released, **own}, problem, specs, job)
    report("scoring and exporting", 0, 1)
    staged = folder / "release"
    staged.mkdir(exist_ok=True)
    write_atomic(staged / release_folder.WEIGHTS, content)
    write_atomic(staged / release_folder.MANIFEST, order.container.encode("utf-8"))
    write_atomic(staged / release_folder.PERSONAL, encode_members(personal.ensemble))
    graph = staged / release_folder.MODEL
    export_onnx(personal.ensemble, order.plan.features, specs, graph)
    check_served(graph, personal.ensemble, order, problem.features, specs)
    said = predict_ensemble(personal.ensemble, problem.features, specs, job.site.device)
    candidate = Answers(said.mean, specs)
    scores = score_tasks(said.mean, renumbered(problem.held_out, problem, specs), specs)
    confidence = measure(problem, Said(said.mean, said.spread), specs, staged)
    bands = error_bands(said.mean, problem, specs)
    found = Found(scores, personal, confidence, bands, monotonic_s() - began_s)
    write_card(staged, describe(order, problem, heads, found))
    own_tasks = {task.name: scores[task.name] for task in problem.tasks if task.name in scores}
    active = _active_answers(order, problem)
    return Result(
        scores=problem.score_table(own_tasks),
        active_scores=problem.score_table(score_held_out(active, problem)) if active else (),
        pairs=compare(candidate, active, problem, order.shadow) if active else (),
    )


def _heads(order: ReleaseOrder, problem: Problem) -> dict[str, Endpoint]:
    """Returns the endpoints of the exported graph's columns, in their order."""
    index = EndpointIndex(order.catalogue, order.private)
    names = [*order.manifest.heads, *(t for t in problem.endpoints if t.startswith(PRIVATE))]
    return {name: index.endpoint(name) for name in names}


def _active_answers(order: ReleaseOrder, problem: Problem) -> Answers | None:
    """Asks the active release for the same compounds, so that the gate compares like with like."""
    if not order.active:
        return None
    folder = Path(order.active)
    try:
        card = read_card(folder)
        heads = [task.task for task in card.tasks]
        content = (folder / release_folder.PERSONAL).read_bytes()
        ensemble = decode_members(content, card.network, card.features, heads)
    except (Refused, OSError):
        log.trouble(_log, "active release cannot be scored", release=folder.name)
        return None
    if card.features != order.plan.features:
        log.trouble(_log, "active release reads other features", release=folder.name)
        return None
    tasks, _ = problem.only(heads)
    if not tasks:  # nothing that it predicts is measured here
        return None
    columns = [heads.index(task.name) for task in tasks]
    served = Ensemble(ensemble.members, ensemble.shares[:, columns])
    said = predict_ensemble(served, problem.features, tasks, order.settings.device)
    return Answers(said.mean, tasks)
