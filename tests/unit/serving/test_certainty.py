"""A real release with a calibration beside its graph, and without."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.reference import REFERENCE_SMILES
from agent.learning.certainty import Certainty, write_certainty
from agent.learning.domain import draw_domain
from agent.learning.intervals import Said, calibrate
from agent.learning.similarity import Index, Nearest
from agent.learning.tasks import Labels, TaskSpec
from agent.releases.card import ModelCard
from agent.releases.folder import CALIBRATION, NEIGHBOURS
from agent.serving.predictor import Predictor

Build = Callable[..., ModelCard]
KNOWN = REFERENCE_SMILES[:50]


@pytest.fixture
def release(install: Build, releases: Path) -> Path:
    install("r1", 1, level=5.0)
    folder = releases / "r1"
    folder.chmod(0o750)
    return folder


def calibrate_release(folder: Path, tasks: tuple[TaskSpec, ...]) -> None:
    """Every task was measured on the known compounds, with errors of about 0.5."""
    card = Predictor.load(folder, threads=1).card
    features, _ = Featurizer(card.features).featurize_smiles(KNOWN)
    n, t = len(KNOWN), len(tasks)
    values = 5 + np.random.default_rng(0).normal(0, 0.5, n * t)
    labels = Labels(
        np.tile(np.arange(n), t),
        np.repeat(np.arange(t), n),
        values.astype(np.float32),
        np.zeros(n * t, np.int8),
    )
    index = Index.build(features, labels, [task.name for task in tasks])
    said = Said(np.full((n, t), 5, np.float32), np.zeros((n, t), np.float32))
    similarity = np.full((n, t), 0.5, np.float32)
    calibration = calibrate(said, labels, tasks, similarity)
    domain = draw_domain(said, labels, tasks, similarity, calibration)
    assert Nearest(index).similarity(features).min() == pytest.approx(1)
    index.save(folder / NEIGHBOURS)
    write_certainty(folder / CALIBRATION, Certainty(calibration=calibration, domain=domain))


SPECS = (
    TaskSpec("logd", "regression"),
    TaskSpec("solubility", "regression"),
    TaskSpec("clint", "regression"),
    TaskSpec("bbb_class", "classification"),
)


def test_each_prediction_has_its_interval_and_domain(release: Path) -> None:
    calibrate_release(release, SPECS)
    known, strange = Predictor.load(release, threads=1).predict(
        [(KNOWN[0], "smiles"), ("[Xe]", "smiles")]
    )
    assert isinstance(known, dict)
    assert isinstance(strange, dict)
    for task in ("logd", "solubility", "clint"):
        low, high = known[task].interval or (0.0, 0.0)
        assert low < known[task].value < high
        assert known[task].inside is True
        assert known[task].similarity == 1.0
        assert (known[task].spread, known[task].outside_by) == (0.0, ())
        assert strange[task].inside is False
        assert strange[task].outside_by == ("similarity",)
        wide_low, wide_high = strange[task].interval or (0.0, 0.0)
        assert wide_high - wide_low > high - low
    # 10**(6 - 5) uM and about 0.8 of a decade either way.
    assert known["solubility"].interval is not None
    assert 1 < known["solubility"].interval[0] < 5
    assert 20 < known["solubility"].interval[1] < 100
    assert known["bbb_class"].interval is None
    assert known["bbb_class"].inside is True


def test_an_old_release_says_that_nothing_is_known(release: Path) -> None:
    (answer,) = Predictor.load(release, threads=1).predict([("CCO", "smiles")])
    assert isinstance(answer, dict)
    said = answer["logd"]
    assert (said.interval, said.inside, said.similarity) == (None, None, None)


def test_a_calibration_of_other_endpoints_is_refused(release: Path) -> None:
    calibrate_release(release, SPECS[:3])
    with pytest.raises(Refused, match="wrong_calibration"):
        Predictor.load(release, threads=1)
    (release / NEIGHBOURS).unlink()
    with pytest.raises(Refused, match="damaged_index"):
        Predictor.load(release, threads=1)
