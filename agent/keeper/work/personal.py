"""The personal model: a release, its copies fitted here, and how much each says of each head.

Rounds have learned from all of a silo's training labels but the newest part, if the plan holds one
back. What a release, or a copy of it, says of labels that rounds have learned from tells nothing:
in the demo its error there was a quarter to a half of that on held-out compounds. So heads are
compared only on what is held back, and averaged as the plan says where nothing is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from agent.keeper.work.problem import Problem
from agent.keeper.work.train import Job, finetune
from agent.learning.choosing import FEWEST, Comparison, compare
from agent.learning.ensemble import Ensemble, Member, members_of
from agent.learning.score import predict
from agent.learning.tasks import TaskSpec
from agent.releases.card import Way
from agent.wire.update import Weights

PERSONAL, FEDERATED, AVERAGE = "personal", "federated", "average"
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Personal:
    """The model that this silo serves, and why each head is what it is.

    Attributes:
        ensemble: The copies fitted here first, the networks of the release as they came last.
        ways: What each head is mixed from, by task.
        compared: Of the heads that could be compared.
    """

    ensemble: Ensemble
    ways: Mapping[str, tuple[Way, ...]]
    compared: Mapping[str, Comparison]


def personalize(
    release: Weights, problem: Problem, specs: Sequence[TaskSpec], job: Job
) -> Personal:
    """Fits the copies and chooses for each head.

    Args:
        release: All shared tensors, and this silo's private heads.
        problem: What to fit to; what it holds out takes no part.
        specs: The heads of the model, in order.
        job: What its trainings share.

    Raises:
        Refused: As `learning.train.fit`.
    """
    federated = members_of(release, job.plan.network)
    copies: list[Member] = []
    compared: Mapping[str, Comparison] = {}
    if job.plan.recipe.finetune_epochs:
        compared = _compared(release, problem, job)
        for number in range(max(job.site.members, len(federated))):
            origin = federated[number % len(federated)]
            fitted = finetune(origin.weights, problem, problem.train, job, number)
            copies.append(Member(origin.network, fitted))
    known = {task.name for task in problem.tasks} if copies else set()
    part = {
        task.name: _personal_part(task.name in known, compared.get(task.name), job)
        for task in specs
    }
    ways = {name: _ways(share, compared.get(name)) for name, share in part.items()}
    personal = np.array([part[task.name] for task in specs], np.float32)
    shares = _shares(personal, len(copies), len(federated))
    return Personal(Ensemble((*copies, *federated), shares), ways, compared)


def _compared(release: Weights, problem: Problem, job: Job) -> dict[str, Comparison]:
    """Compares on what rounds have not learned from, with copies fitted to what they have."""
    recipe = job.plan.recipe
    older, newest = problem.split(recipe.held_back)
    if not len(older) or max(np.bincount(newest.cols), default=0) < FEWEST:
        return {}
    networks = members_of(release, job.plan.network)
    fitted = [
        replace(one, weights=finetune(one.weights, problem, older, job, number, "choice"))
        for number, one in enumerate(networks)
    ]
    rows, places = np.unique(newest.rows, return_inverse=True)
    features = problem.features.take(rows)
    personal, federated = (
        np.mean(
            [
                predict(one.weights, one.network, features, problem.tasks, job.site.device)
                for one in members
            ],
            axis=0,
        )
        for members in (fitted, networks)
    )
    share = np.float32(recipe.personal_share)
    average = share * personal + (1 - share) * federated
    answers = {AVERAGE: average, PERSONAL: personal, FEDERATED: federated}
    return compare(answers, AVERAGE, newest.on_rows(places), problem.tasks)


def _personal_part(known: bool, compared: Comparison | None, job: Job) -> float:
    if not known:  # nothing is measured here: the copies' trunks have left this head behind
        return 0.0
    chosen = compared.chosen if compared else AVERAGE
    return {PERSONAL: 1.0, FEDERATED: 0.0, AVERAGE: job.plan.recipe.personal_share}[chosen]


def _ways(personal: float, compared: Comparison | None) -> tuple[Way, ...]:
    errors = compared.errors if compared else {}
    return (
        Way(name="federated", share=1 - personal, error=errors.get(FEDERATED)),
        Way(name="personal", share=personal, error=errors.get(PERSONAL)),
    )


def _shares(personal: _Floats, copies: int, networks: int) -> _Floats:
    rows = [personal / copies for _ in range(copies)]
    rows += [(1 - personal) / networks for _ in range(networks)]
    return np.stack(rows).astype(np.float32)
