from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.learning.ensemble import Ensemble
from agent.learning.export import export_onnx
from agent.learning.tasks import TaskSpec
from agent.releases import folder
from agent.releases.card import Count, ModelCard, TaskCard, Transform, write_card
from agent.wire.documents import FeatureSpec, NetworkSpec, Scaling
from agent.wire.network import initial_weights

Build = Callable[..., ModelCard]

MOMENT = "2026-01-02T03:04:05Z"
FEATURES = FeatureSpec(
    version="onggi-fast-1",
    radius=2,
    hash_size=256,
    descriptors=(
        Scaling(name="exactmw", centre=370.0, spread=110.0),
        Scaling(name="tpsa", centre=72.0, spread=32.0),
    ),
    clip=5.0,
)
TASKS: tuple[tuple[str, str, Transform], ...] = (
    ("logd", "", "identity"),
    ("solubility", "uM", "neg_log10_molar"),
    ("clint", "uL/min/mg", "log10_plus_1"),
)


def _task(task: str, unit: str, transform: Transform, n_train: Count = 10) -> TaskCard:
    return TaskCard(
        task=task,
        name=task.upper(),
        kind="regression",
        unit=unit,
        transform=transform,
        n_train=n_train,
        n_test=5,
        metric="mae",
        error_local=0.5,
        error_release=0.4,
        private=False,
    )


def _class_task() -> TaskCard:
    return _task("bbb_class", "", "identity").model_copy(update={"kind": "classification"})


def build(releases: Path, release_id: str, version: int, level: float | None = None) -> ModelCard:
    """Installs a release; with a level, every head answers just that on the model's scale."""
    tasks = (*(_task(*entry) for entry in TASKS), _class_task())
    names = [task.task for task in tasks]
    network = NetworkSpec(hidden=(32, 16), dropout=0.0, seed=version)
    card = ModelCard(
        release_id=release_id,
        version=version,
        created=MOMENT,
        plan_id="p1",
        tasks=tasks,
        features=FEATURES,
        network=network,
        gated=MOMENT,
        reference_sha256="0" * 64,
    )
    weights = initial_weights(network, FEATURES, names)
    if level is not None:
        for name in names:
            weights[f"head.{name}.weight"][:] = 0
            weights[f"head.{name}.bias"] = np.full(1, level, np.float32)
    staged = releases.parent / f"staged-{release_id}"
    staged.mkdir()
    specs = [TaskSpec(task.task, task.kind, unit=task.unit) for task in tasks]
    export_onnx(
        Ensemble.of_one(weights, network, len(specs)), FEATURES, specs, staged / folder.MODEL
    )
    write_card(staged, card)
    (staged / folder.WEIGHTS).write_bytes(b"-")
    (staged / folder.MANIFEST).write_bytes(b"-")
    folder.install(staged, releases, release_id)
    return card


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    path = tmp_path / "releases"
    path.mkdir()
    return path


@pytest.fixture
def install(releases: Path) -> Build:
    """Builds and installs a release: `install("r1", 1, level=0.5)`."""

    def call(release_id: str, version: int, level: float | None = None) -> ModelCard:
        return build(releases, release_id, version, level)

    return call
