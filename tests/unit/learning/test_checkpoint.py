from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from agent.learning.checkpoint import Checkpoint
from agent.learning.train import Settings, fit_on
from tests.unit.learning.conftest import equal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.learning.conftest import Problem

_SETTINGS = Settings(epochs=4, batch_size=64, learning_rate=5e-3, device="cpu", threads=1)

# A training as a process of its own, which says when it begins and leaves its weights.
_TRAINING = """
import sys
from pathlib import Path
import numpy as np
from agent.features.rows import Features
from agent.files import write_atomic
from agent.learning.checkpoint import Checkpoint
from agent.learning.tasks import Labels, TaskSpec
from agent.learning.train import Settings, fit_on
from agent.wire.documents import FeatureSpec, NetworkSpec, Scaling
from agent.wire.network import initial_weights
from agent.wire.update import encode

random = np.random.default_rng(0)
lengths = random.integers(1, 30, 400)
indptr = np.concatenate([[0], np.cumsum(lengths)])
indices = np.concatenate([np.sort(random.permutation(256)[:n]) for n in lengths]).astype(np.int32)
values = random.random(len(indices)).astype(np.float32)
features = Features(indptr, indices, values, random.normal(size=(400, 1)).astype(np.float32))
rows = np.arange(400)
labels = Labels(rows, rows % 2, features.dense[:, 0], np.zeros(400, np.int8))
tasks = [TaskSpec("a", "regression"), TaskSpec("b", "regression")]
spec = FeatureSpec(
    version="onggi-fast-1", radius=2, hash_size=256, clip=5.0,
    descriptors=(Scaling(name="a", centre=0.0, spread=1.0),),
)
network = NetworkSpec(hidden=(32, 16), dropout=0.2, seed=1)
start = initial_weights(network, spec, ["a", "b"])
settings = Settings(epochs=25, batch_size=40, device="cpu", deterministic=True)
looks = []

def clock():
    looks.append(0)
    if len(looks) == 2:  # after the first step
        print("begun", flush=True)
    return 0.0

checkpoint = Checkpoint(Path(sys.argv[1]), 0.0, clock)
judge = labels.select(rows % 5 == 0)
fitted = fit_on(
    start, network, features, labels.select(rows % 5 > 0), tasks, settings, lambda *_: None,
    checkpoint=checkpoint if sys.argv[2] == "kept" else None, validation=judge,
)
write_atomic(Path(sys.argv[1]).with_suffix(".done"), encode(fitted.weights))
"""


class Killed(Exception):
    """What a test throws in place of a signal."""


@dataclass
class Killer:
    """A checkpoint's clock that ends the training at the n-th look."""

    left: int

    def __call__(self) -> float:
        self.left -= 1
        if not self.left:
            raise Killed
        return 0.0


@pytest.mark.parametrize("looks", [2, 4, 10, 11, 12, 24])
def test_a_training_that_was_ended_goes_on_to_the_same_weights(
    problem: Problem, tmp_path: Path, looks: int
) -> None:
    whole = problem.fitted(_SETTINGS)
    with pytest.raises(Killed):
        problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path, 0.0, Killer(looks)))
    resumed = problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path))
    assert equal(resumed.weights, whole.weights)
    assert equal(resumed.moments.first, whole.moments.first)
    assert equal(resumed.moments.second, whole.moments.second)
    assert resumed.moments.steps == whole.moments.steps


def test_the_best_weights_are_kept_as_well(problem: Problem, tmp_path: Path) -> None:
    judge = problem.labels.select(problem.labels.rows < 50)
    whole = problem.fitted(_SETTINGS, validation=judge)
    with pytest.raises(Killed):
        problem.fitted(
            _SETTINGS, checkpoint=Checkpoint(tmp_path, 0.0, Killer(28)), validation=judge
        )
    assert equal(
        problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path), validation=judge).weights,
        whole.weights,
    )


def _standing(folder: Path) -> dict[str, float]:
    with safe_open(folder / "training.safetensors", "numpy") as handle:
        said: dict[str, float] = json.loads(handle.metadata()["standing"])
    return said


def test_what_is_left_is_done_and_nothing_twice(problem: Problem, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path, 0.0, Killer(24)))
    assert (_standing(tmp_path)["epoch"], _standing(tmp_path)["step"]) == (2, 1)
    told: list[int] = []
    fit_on(
        problem.start(),
        problem.network,
        problem.features,
        problem.labels,
        problem.tasks,
        _SETTINGS,
        lambda done, *_: told.append(done),
        checkpoint=Checkpoint(tmp_path),
    )
    assert told == [3, 4]


def test_a_standing_of_another_training_is_left_alone(problem: Problem, tmp_path: Path) -> None:
    problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path, 0.0))
    labels = replace(problem.labels, values=problem.labels.values + 1)
    other = replace(problem, labels=labels)
    assert equal(
        other.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path)).weights,
        other.fitted(_SETTINGS).weights,
    )


def test_a_damaged_standing_is_as_good_as_none(problem: Problem, tmp_path: Path) -> None:
    whole = problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path, 0.0))
    path = tmp_path / "training.safetensors"
    for content in (b"half", path.read_bytes()[:-7], b""):
        path.write_bytes(content)
        assert equal(
            problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path)).weights, whole.weights
        )


def test_half_written_files_of_the_dead_are_removed(problem: Problem, tmp_path: Path) -> None:
    (tmp_path / ".training.safetensors.12345.tmp").write_bytes(b"half")
    problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path, 0.0))
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]


def test_it_is_not_saved_more_often_than_asked(problem: Problem, tmp_path: Path) -> None:
    problem.fitted(_SETTINGS, checkpoint=Checkpoint(tmp_path, 1e6))
    assert not list(tmp_path.iterdir())


def _start(folder: Path, kept: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _TRAINING, str(folder), kept]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _killed(folder: Path, waits_for_a_step: bool, seconds: float) -> None:
    with _start(folder, "kept") as process:
        assert process.stdout is not None
        if waits_for_a_step:
            process.stdout.readline()
        time.sleep(seconds)
        process.kill()


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    moments = random.Random(7)
    seen = set()
    for number in range(20):
        waits = number % 5 > 0  # else the kill may come before the first step
        _killed(killed, waits, moments.uniform(0.0, 0.12 if waits else 3.0))
        if (killed / "training.safetensors").exists():
            seen.add((_standing(killed)["epoch"], _standing(killed)["step"]))
    for folder, kept in ((whole, "none"), (killed, "kept")):
        with _start(folder, kept) as process:
            assert process.wait() == 0
    assert len(seen) > 5  # the kills did come while it trained
    expected = load_file(whole.with_suffix(".done"))
    assert equal(load_file(killed.with_suffix(".done")), expected)
