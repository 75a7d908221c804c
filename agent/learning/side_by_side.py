"""Training the members of an ensemble: alone, or over rounds with others; several at once.

Each member is seeded by itself, so it comes out the same in whichever process it is trained.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace

from agent.learning.ensemble import Member
from agent.learning.federation import Silo, federate, network_of, shape_of
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.learning.tasks import View, seen
from agent.learning.train import Settings, fit
from agent.processes import executor
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.network import Weights, initial_weights

Told = Callable[[str, int, int], None]

_STAGE = "training"


@dataclass(frozen=True, slots=True, eq=False)
class Alone:
    """One network to be trained on a silo's own labels; `number` tells it from its siblings."""

    features: FeatureSpec
    own: Silo
    recipe: LocalRecipe
    settings: Settings
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Together:
    """Rounds over silos, the first of which fine-tunes copies of what comes out."""

    features: FeatureSpec
    silos: tuple[Silo, ...]
    recipe: FederatedRecipe
    settings: Settings


Job = Alone | Together


def train_members(jobs: Sequence[Job], processes: int, told: Told) -> list[list[Member]]:
    """Does jobs, side by side where there is more than one process.

    A process of its own with one thread does twice as much as two threads of one: the networks are
    small, and threads mostly wait for each other.

    Args:
        jobs: The longest first.
        processes: At most so many at once; 1 trains here.
        told: Told when a job is done.

    Returns:
        The members of each job, in order: one, or the federated networks and their copies.

    Raises:
        Refused: As `learning.train.fit`.
        Stop: As `learning.train.fit`.
    """
    told(_STAGE, 0, len(jobs))
    if processes == 1 or len(jobs) == 1:
        done = []
        for number, job in enumerate(jobs, start=1):
            done.append(train_job(job))
            told(_STAGE, number, len(jobs))
        return done
    with executor(min(processes, len(jobs))) as pool:
        futures = [pool.submit(train_job, job) for job in jobs]
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()  # a refusal need not wait for the others
            told(_STAGE, number, len(jobs))
        return [future.result() for future in futures]


def train_job(job: Job) -> list[Member]:
    """Does one job in this process; see `train_members`."""
    return [_alone(job)] if isinstance(job, Alone) else _together(job)


def _alone(job: Alone) -> Member:
    recipe, seed = job.recipe, job.settings.seed + job.number
    network = NetworkSpec(hidden=recipe.widths(job.number), dropout=recipe.dropout, seed=seed)
    view = recipe.view(job.number)
    shape = shape_of(job.features, view)
    start = initial_weights(network, shape, [task.name for task in job.own.tasks])
    run = _settings(job.settings, recipe, recipe.epochs, recipe.learning_rate, seed)
    return Member(network, _fit(start, network, job.own, view, recipe.recency_rate, run), view)


def _together(job: Together) -> list[Member]:
    recipe, own = job.recipe, job.silos[0]
    trained = federate(job.silos, job.features, recipe, settings=job.settings)[0]
    network = network_of(recipe, job.settings.seed).single()
    members = [Member(network, one, recipe.view(number)) for number, one in enumerate(trained)]
    rate = recipe.finetune_rate * recipe.learning_rate
    for number in range(recipe.copies):
        seed, origin = job.settings.seed + number, members[number % len(trained)]
        run = _settings(job.settings, recipe, recipe.finetune_epochs, rate, seed)
        fitted = _fit(origin.weights, network, own, origin.view, recipe.recency_rate, run)
        members.append(Member(network, fitted, origin.view))
    return members


def _settings(
    site: Settings, recipe: LocalRecipe | FederatedRecipe, epochs: int, rate: float, seed: int
) -> Settings:
    return replace(
        site,
        epochs=epochs,
        learning_rate=rate,
        batch_size=recipe.batch_size,
        weight_decay=recipe.weight_decay,
        seed=seed,
    )


def _fit(
    start: Weights, network: NetworkSpec, own: Silo, view: View | None, rate: float, run: Settings
) -> Weights:
    rows, labels = seen(own.features, view), own.weighted(rate)
    return fit(start, network, rows, labels, own.tasks, run, lambda *_: None)
