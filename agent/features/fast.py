"""The featurizer `onggi-fast-1`: Morgan counts hashed to a fixed size, and fast descriptors.

Everything is a call into RDKit's C++, but for four descriptors that RDKit finds by patterns, which
takes longer than all others: those of a batch are found at once, to the same bits
(`agent.features.together`).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from agent.errors import Refused
from agent.features.alone import Remembering
from agent.features.atoms import without_each_atom
from agent.features.graph import Drawer
from agent.features.light import light_mol
from agent.features.rows import Features
from agent.features.together import NAMES as TOGETHER
from agent.features.together import Pending
from agent.records import InvalidStructure
from agent.wire.documents import FeatureSpec

_BATCH = 1_024  # molecules held at once; each takes some 20 kB

_Numbers = Callable[[Chem.Mol], Sequence[float]]


class Featurizer:
    """Turns molecules into features as one spec says; the same spec gives the same numbers."""

    def __init__(self, spec: FeatureSpec) -> None:
        """Prepares RDKit's generators once.

        Raises:
            Refused: `unknown_descriptor`: this RDKit does not offer one that the spec names.
        """
        self.spec = spec
        self._morgan = rdFingerprintGenerator.GetMorganGenerator(
            radius=spec.radius, fpSize=spec.hash_size
        )
        names = [scaling.name for scaling in spec.descriptors]
        self._plain, self._plain_size = _plain_call(names), len(_plain_names(names))
        self._order = [[*_plain_names(names), *TOGETHER].index(name) for name in names]
        self._with_patterns = not set(TOGETHER).isdisjoint(names)
        self._drawer, self._remembering = Drawer(), Remembering()
        self._centre = np.array([scaling.centre for scaling in spec.descriptors], np.float64)
        self._spread = np.array([scaling.spread for scaling in spec.descriptors], np.float64)

    def featurize(self, mols: Iterable[Chem.Mol]) -> Features:
        """Featurizes molecules that `light_mol` made, each before the next is asked for.

        Returns:
            One row a molecule, in order; a number that RDKit cannot give is 0, the centre.
        """
        counts, numbers, pending = [], [], Pending(self._drawer, self._remembering)
        for mol in mols:
            counts.append(self._morgan.GetCountFingerprint(mol).GetNonzeroElements())
            numbers.append(self._plain(mol))
            if self._with_patterns:
                pending.add(mol)
        raw = np.array(numbers, dtype=np.float64).reshape(len(counts), self._plain_size)
        if self._with_patterns:
            raw = np.concatenate([raw, pending.values()], axis=1)
        return hashed(counts, self._scale(raw[:, self._order]))

    def without_each_atom(self, mol: Chem.Mol) -> Features:
        """Featurizes one molecule, and then what is left of it without each of its atoms.

        Returns:
            The molecule's own row, and behind it a row an atom, in the molecule's order.
        """
        whole = self.featurize([mol])
        return Features.concat(
            [whole, without_each_atom(mol, whole, self._morgan.GetCountFingerprint)]
        )

    def featurize_smiles(
        self, smiles: Sequence[str]
    ) -> tuple[Features, list[InvalidStructure | None]]:
        """Featurizes SMILES; a bad one becomes a row of zeros and keeps its reason.

        Returns:
            The features and, per SMILES, None or why it was refused; both in the given order.
        """
        starts = range(0, max(len(smiles), 1), _BATCH)
        done = [self._featurize_batch(smiles[start : start + _BATCH]) for start in starts]
        reasons = [reason for _, batch in done for reason in batch]
        return Features.concat([features for features, _ in done]), reasons

    def _featurize_batch(
        self, smiles: Sequence[str]
    ) -> tuple[Features, list[InvalidStructure | None]]:
        made = [light_mol(text, "smiles") for text in smiles]
        good = [mol for mol in made if not isinstance(mol, InvalidStructure)]
        features = Features.concat([self.featurize(good), self._empty_row()])
        reasons = [mol if isinstance(mol, InvalidStructure) else None for mol in made]
        fine = np.array([reason is None for reason in reasons], dtype=np.bool_)
        rows = np.where(fine, np.cumsum(fine) - 1, len(good)).astype(np.int64)
        return features.take(rows), reasons

    def _empty_row(self) -> Features:
        no_counts = (np.zeros(0, np.int32), np.zeros(0, np.float32))
        return Features.from_rows([no_counts], np.zeros((1, len(self._centre)), np.float32))

    def _scale(self, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        scaled = (raw - self._centre) / self._spread
        clipped = np.clip(scaled, -self.spec.clip, self.spec.clip)
        return np.where(np.isfinite(scaled), clipped, 0.0).astype(np.float32)


def hashed(rows: Sequence[dict[int, int]], dense: npt.NDArray[np.float32]) -> Features:
    """Joins counts by column, a molecule each, with the descriptors of the same molecules."""
    sizes = [len(row) for row in rows]
    columns = np.fromiter(chain.from_iterable(rows), np.int32, sum(sizes))
    counts = np.fromiter(chain.from_iterable(row.values() for row in rows), np.float64, sum(sizes))
    order = np.lexsort((columns, np.repeat(np.arange(len(rows)), sizes)))
    # In float64: numpy's float32 log1p differs in the last bit from CPU to CPU.
    values = np.log1p(counts[order]).astype(np.float32)
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Features(indptr, columns[order], values, dense)


def _plain_names(names: Sequence[str]) -> list[str]:
    return [name for name in names if name not in TOGETHER]


def _plain_call(names: Sequence[str]) -> _Numbers:
    offered = set(rdMolDescriptors.Properties.GetAvailableProperties())
    if unknown := [name for name in names if name not in offered]:
        raise Refused(
            "unknown_descriptor",
            f"This RDKit offers no descriptor {unknown[0]!r}; update the agent, or the plan.",
        )
    properties = rdMolDescriptors.Properties(_plain_names(names))
    return lambda mol: list(properties.ComputeProperties(mol))
