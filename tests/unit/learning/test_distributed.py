from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load_file

from agent.learning.distributed import Team

if TYPE_CHECKING:
    from pathlib import Path

# The same training in each of SIZE processes, which meet in a file.
_TRAINING = """
import sys
from pathlib import Path
import numpy as np
from agent.features.rows import Features
from agent.files import write_atomic
from agent.learning.distributed import ALONE, joined
from agent.learning.tasks import Labels, TaskSpec
from agent.learning.train import Settings, fit_on
from agent.wire.documents import FeatureSpec, NetworkSpec, Scaling
from agent.wire.network import initial_weights
from agent.wire.update import encode

folder, rank, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
lengths = random.integers(1, 30, 201)
indptr = np.concatenate([[0], np.cumsum(lengths)])
indices = np.concatenate([np.sort(random.permutation(256)[:n]) for n in lengths]).astype(np.int32)
values = random.random(len(indices)).astype(np.float32)
features = Features(indptr, indices, values, random.normal(size=(201, 1)).astype(np.float32))
rows = np.arange(201)
cells = np.flatnonzero(random.random(402) < 0.6)  # uneven: the processes have other numbers
labels = Labels(
    cells // 2, cells % 2, features.dense[cells // 2, 0], np.zeros(len(cells), np.int8)
)
tasks = [TaskSpec("a", "regression"), TaskSpec("b", "regression")]
spec = FeatureSpec(
    version="onggi-fast-1", radius=2, hash_size=256, clip=5.0,
    descriptors=(Scaling(name="a", centre=0.0, spread=1.0),),
)
network = NetworkSpec(hidden=(32, 16), dropout=0.0, seed=1)
losses = []

def fit(team):
    return fit_on(
        initial_weights(network, spec, ["a", "b"]), network, features,
        labels.select(labels.rows % 5 > 0), tasks,
        Settings(epochs=3, batch_size=33, device="cpu", threads=1, proximal=0.01),
        lambda done, of, loss: losses.append(loss), team=team,
        validation=labels.select(labels.rows % 5 == 0),
    ).weights

if size == 1:
    weights = fit(ALONE)
else:
    with joined(rank, size, f"file://{folder}/meet") as team:
        weights = fit(team)
weights["losses"] = np.array(losses, np.float32)
write_atomic(folder / f"{rank}-of-{size}", encode(weights))
"""


def test_a_batch_is_dealt_out_whole() -> None:
    rows = np.arange(7)
    dealt = [Team(rank, 3).own(rows) for rank in range(3)]
    assert sorted(np.concatenate(dealt).tolist()) == rows.tolist()


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path: Path) -> None:
    runs = [("0", "1"), ("0", "2"), ("1", "2")]
    processes = [
        subprocess.Popen([sys.executable, "-c", _TRAINING, str(tmp_path), *run]) for run in runs
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    one, first, second = (load_file(tmp_path / f"{rank}-of-{size}") for rank, size in runs)
    for name, expected in one.items():
        assert np.array_equal(first[name], second[name])
        assert first[name] == pytest.approx(expected, abs=2e-4)
