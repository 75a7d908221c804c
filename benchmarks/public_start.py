"""Public measurements as a silo's: logD of PharmaBench, and a start from everything else."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.features.cache import FeatureCache
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.learning.settings import Settings
from agent.learning.tasks import Labels, TaskSpec
from agent.learning.train import fit
from agent.wire.documents import NetworkSpec
from agent.wire.network import HEAD, TRUNK, Weights, initial_weights
from benchmarks.public_sets import Known, bare, known

_HIGH = 2.5  # logD above which a compound counts as lipophilic; near both sets' median
TASKS = (TaskSpec("logd", "regression", 2.0, 1.5), TaskSpec("high", "classification"))
SPEC = default_spec()
EPOCHS = 20  # without noise


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Compounds with one value each, float32 (n,)."""

    features: Features
    values: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: npt.NDArray[np.int64]) -> "Measured":
        """Returns some of them."""
        return Measured(self.features.take(rows), self.values[rows])

    def labels(self) -> Labels:
        """Returns two labels of each compound: the value, and whether it is high."""
        rows = np.repeat(np.arange(len(self)), 2)
        both = np.stack([self.values, self.high()], axis=1).astype(np.float32)
        cols = np.tile(np.arange(2), len(self))
        return Labels(rows, cols, both.reshape(-1), np.zeros(len(rows), np.int8))

    def high(self) -> npt.NDArray[np.bool_]:
        """Returns the class."""
        return self.values > _HIGH


def read(data: Path, out: Path, limit: int = 0) -> tuple[Measured, Known]:
    """Reads a silo's compounds in a drawn order, and all public ones that are not among them.

    Args:
        data: The folder of the sets.
        out: Where features are kept.
        limit: Of compounds of each set, for a quick look; 0 reads all.
    """
    out.mkdir(parents=True, exist_ok=True)
    own = _values(data / "pharmabench" / "logd_reg_final_data.csv", "Smiles_unify", "value")
    cache = FeatureCache(out / "features.sqlite3", SPEC, processes=0)
    without = {bare(smiles) for smiles in own}
    return _measured(own, cache, limit), known(data, without, cache, limit)


def begun(public: Known, network: NetworkSpec, seed: int, epochs: int = EPOCHS) -> Weights:
    """Trains on everything public, a head each, and keeps the trunk and the silo's two heads."""
    column = next(at for at, task in enumerate(public.tasks) if task.name == TASKS[0].name)
    logd = public.labels.select(public.labels.cols == column)
    other = public.labels.select(public.labels.cols != column)
    parts = (
        (logd.rows, np.zeros(len(logd), np.int64), logd.values, logd.qualifiers),
        (logd.rows, np.ones(len(logd), np.int64), logd.values > _HIGH, logd.qualifiers),
        # The silo's two heads stand before the rest, in the place of the one.
        (other.rows, other.cols + 2 - (other.cols > column), other.values, other.qualifiers),
    )
    rows, cols, values, sides = (np.concatenate(part) for part in zip(*parts, strict=True))
    labels = Labels(rows, cols, values.astype(np.float32), sides)
    tasks = (*TASKS, *public.tasks[:column], *public.tasks[column + 1 :])
    start = initial_weights(
        network.model_copy(update={"seed": seed}), SPEC, [task.name for task in tasks]
    )
    settings = Settings(epochs=epochs, batch_size=128, seed=seed, threads=1, device="cpu")
    trained = fit(start, network, public.features, labels, tasks, settings, lambda *_: None)
    own = (TRUNK, *(f"{HEAD}{task.name}." for task in TASKS))
    return {name: tensor for name, tensor in trained.items() if name.startswith(own)}


def _values(path: Path, structure: str, value: str) -> dict[str, float]:
    from rdkit import Chem, rdBase

    found = {}
    with path.open(newline="", encoding="utf-8") as file, rdBase.BlockLogs():
        for row in csv.DictReader(file):
            mol: Chem.Mol | None = Chem.MolFromSmiles(row[structure])
            if mol is not None and row[value]:
                found[Chem.MolToSmiles(mol)] = float(row[value])
    return found


def _measured(values: dict[str, float], cache: FeatureCache, limit: int) -> Measured:
    smiles = sorted(values)
    order = np.random.default_rng(0).permutation(len(smiles))[: limit or len(smiles)]
    chosen = [smiles[place] for place in order]
    features = cache.get_or_compute(chosen, chosen)
    usable = np.flatnonzero(features.usable)
    numbers = np.array([values[one] for one in chosen], np.float32)
    return Measured(features, numbers).take(usable)
