"""A model card with everything a card may say, and a release that has it."""

from pathlib import Path

from agent.features.spec import default_spec
from agent.releases import folder
from agent.releases.card import (
    Confidence,
    Cost,
    CurveBin,
    Level,
    ModelCard,
    TaskCard,
    Way,
    Window,
    write_card,
)
from agent.wire.documents import NetworkSpec

MOMENT = "2026-01-02T03:04:05Z"
CURVE = (
    CurveBin(low=0.2, high=0.5, n=40, error=0.6, width=2.4, coverage=0.85),
    CurveBin(low=0.5, high=1.0, n=60, error=0.3, width=1.4, coverage=0.92),
)
CONFIDENCE = Confidence(
    n=100,
    pooled=False,
    width=1.8,
    levels=(Level(predicted=0.5, observed=0.44), Level(predicted=0.9, observed=0.91)),
    similarity=0.45,
    spread=0.2,
    curve=CURVE,
)
LOGD = TaskCard(
    task="logd",
    name="logD 7.4",
    kind="regression",
    unit="",
    transform="identity",
    n_train=400,
    n_test=100,
    metric="MAE",
    error_local=0.5,
    error_release=0.4,
    private=False,
    local_interval=(0.45, 0.55),
    release_interval=(0.36, 0.44),
    ways=(
        Way(name="federated", share=0.5, error=0.42),
        Way(name="personal", share=0.5, error=0.45),
    ),
    confidence=CONFIDENCE,
)
OWN = LOGD.model_copy(
    update={
        "task": "private:own",
        "name": "Own",
        "private": True,
        "error_local": 0.3,
        "error_release": 0.33,
        "ways": (Way(name="personal", share=1.0),),
    }
)
OLD = TaskCard(
    task="ames",
    name="Ames",
    kind="classification",
    unit="",
    transform="identity",
    n_train=10,
    n_test=0,
    metric="",
    error_local=None,
    error_release=None,
    private=False,
)


def card(release_id: str = "r1", *tasks: TaskCard) -> ModelCard:
    """Returns a card; of three tasks unless others are given."""
    return ModelCard(
        release_id=release_id,
        version=3,
        created=MOMENT,
        plan_id="p1",
        tasks=tasks or (LOGD, OWN, OLD),
        features=default_spec(),
        network=NetworkSpec(hidden=(32, 16), dropout=0.0, seed=1),
        gated=MOMENT,
        reference_sha256="0" * 64,
        layout=2,
        window=Window(first="2025-01-01", last="2026-01-01", compounds=500, labels=900),
        cost=Cost(seconds=12.0, peak_mb=640.0),
    )


def write_release(releases: Path, release_id: str) -> None:
    """Installs a release that has a card and nothing that could be loaded."""
    releases.mkdir(exist_ok=True)
    staged = releases.parent / f"staged-{release_id}"
    staged.mkdir()
    for name in folder.REQUIRED:
        (staged / name).write_bytes(b"-")
    write_card(staged, card(release_id))
    folder.install(staged, releases, release_id)
