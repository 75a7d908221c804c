"""A release of the size that a silo serves, with random weights: speed does not depend on them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.features.fast import Featurizer
from agent.features.spec import default_spec
from agent.learning.certainty import Certainty, write_certainty
from agent.learning.domain import draw_domain
from agent.learning.ensemble import Ensemble, Member
from agent.learning.export import export_onnx
from agent.learning.intervals import Said, calibrate
from agent.learning.similarity import Index, Nearest
from agent.learning.tasks import Labels, TaskSpec
from agent.releases import folder
from agent.releases.card import ModelCard, TaskCard, write_card
from agent.wire.documents import NetworkSpec
from agent.wire.network import initial_weights

RELEASE = "benchmark"
MEMBERS, TASKS, HIDDEN = 5, 22, (512, 256)
_MOMENT = "2026-01-02T03:04:05Z"
_JUDGED = 200  # compounds that the calibration is drawn from


def make_release(
    releases: Path,
    smiles: Sequence[str],
    known: Sequence[str],
    name: str = RELEASE,
    version: int = 1,
) -> None:
    """Installs and activates the release.

    Args:
        releases: The folder of all releases.
        smiles: Real structures that the calibration is drawn from.
        known: The compounds that the domain compares with.
        name: Its id.
        version: Another version has other weights.
    """
    specs = [TaskSpec(f"endpoint{n}", "regression") for n in range(TASKS)]
    names = [spec.name for spec in specs]
    network = NetworkSpec(hidden=HIDDEN, dropout=0.1, seed=1)
    first = version * MEMBERS
    seeds = [network.model_copy(update={"seed": first + n}) for n in range(MEMBERS)]
    members = tuple(Member(one, initial_weights(one, default_spec(), names)) for one in seeds)
    shares = np.full((MEMBERS, TASKS), 1 / MEMBERS, np.float32)
    staged = releases.parent / f"staged-{name}"
    staged.mkdir()
    export_onnx(Ensemble(members, shares), default_spec(), specs, staged / folder.MODEL)
    _write_certainty(staged, smiles, known, specs)
    write_card(staged, _card(specs, network, name, version))
    for part in (folder.WEIGHTS, folder.MANIFEST):
        (staged / part).write_bytes(b"-")
    folder.install(staged, releases, name)
    folder.activate(releases, name)


def _write_certainty(
    staged: Path, smiles: Sequence[str], known: Sequence[str], specs: Sequence[TaskSpec]
) -> None:
    rng = np.random.default_rng(0)
    featurizer, names = Featurizer(default_spec()), [spec.name for spec in specs]
    learned, _ = featurizer.featurize_smiles(known)
    index = Index.build(learned, _labels(rng, len(known)), names)
    index.save(staged / folder.NEIGHBOURS)
    judged, _ = featurizer.featurize_smiles(smiles[:_JUDGED])
    said = Said(
        rng.normal(0, 1, (_JUDGED, TASKS)).astype(np.float32),
        rng.uniform(0, 1, (_JUDGED, TASKS)).astype(np.float32),
    )
    similarity = Nearest(index).similarity(judged)
    labels = _labels(rng, _JUDGED)
    calibration = calibrate(said, labels, specs, similarity)
    domain = draw_domain(said, labels, specs, similarity, calibration)
    write_certainty(staged / folder.CALIBRATION, Certainty(calibration=calibration, domain=domain))


def _labels(rng: np.random.Generator, compounds: int) -> Labels:
    """Every compound was measured for every task."""
    total = compounds * TASKS
    return Labels(
        np.tile(np.arange(compounds), TASKS),
        np.repeat(np.arange(TASKS), compounds),
        rng.normal(0, 1, total).astype(np.float32),
        np.zeros(total, np.int8),
    )


def _card(specs: Sequence[TaskSpec], network: NetworkSpec, name: str, version: int) -> ModelCard:
    tasks = tuple(
        TaskCard(
            task=spec.name,
            name=spec.name,
            kind="regression",
            unit="uM",
            transform="log10",
            n_train=1,
            n_test=1,
            metric="mae",
            error_local=None,
            error_release=None,
            private=False,
        )
        for spec in specs
    )
    return ModelCard(
        release_id=name,
        version=version,
        created=_MOMENT,
        plan_id="benchmark",
        tasks=tasks,
        features=default_spec(),
        network=network,
        gated=_MOMENT,
        reference_sha256="0" * 64,
    )
