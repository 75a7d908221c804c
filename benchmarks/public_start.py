"""Public measurements as a silo's: logD of PharmaBench, and a start from AstraZeneca's."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.features.cache import FeatureCache
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.learning.tasks import Labels, TaskSpec

_HIGH = 2.5  # logD above which a compound counts as lipophilic; near both sets' median
TASKS = (TaskSpec("logd", "regression", 2.0, 1.5), TaskSpec("high", "classification"))
SPEC = default_spec()


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


def read(data: Path, out: Path, limit: int = 0) -> tuple[Measured, Measured]:
    """Reads a silo's compounds in a drawn order, and the public ones that are not among them.

    Args:
        data: The folder of the sets.
        out: Where features are kept.
        limit: Of compounds of each, for a quick look; 0 reads all.
    """
    out.mkdir(parents=True, exist_ok=True)
    own = _values(data / "pharmabench" / "logd_reg_final_data.csv", "Smiles_unify", "value")
    public = _values(data / "az" / "lipophilicity_AZ-lipo.csv", "canonical_smiles", "logD7.4")
    public = {smiles: value for smiles, value in public.items() if smiles not in own}
    cache = FeatureCache(out / "features.sqlite3", SPEC, processes=0)
    return _measured(own, cache, limit), _measured(public, cache, limit)


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
