"""Descriptors that RDKit finds by patterns, a batch at once, to the last bit as RDKit's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from agent.features.alone import Remembering
from agent.features.crippen import crippen
from agent.features.graph import MOST_ATOMS, Drawer, Graph
from agent.features.lipinski import acceptors, rotatable

NAMES = ("CrippenClogP", "CrippenMR", "NumHBA", "NumRotatableBonds")
_AT_ONCE = 64
_FEW = 6  # from here on the arrays are faster

Doubles = npt.NDArray[np.float64]
_Numbers = tuple[float, float, float, float]


class Pending:
    """Takes molecules one after the other, and computes what is faster for all at once.

    Few molecules are cheaper one by one, and unusual ones need RDKit's patterns; either way gives
    the same bits.

    Args:
        drawer: Takes them apart.
        remembering: Knows the sums of those that come alone.
    """

    def __init__(self, drawer: Drawer, remembering: Remembering) -> None:
        self._drawer = drawer
        self._remembering = remembering
        self._waiting: list[Chem.Mol] = []
        self._done: list[Doubles] = []

    def add(self, mol: Chem.Mol) -> None:
        """Takes one more; what may take long with it is done at once."""
        if mol.GetNumAtoms() > MOST_ATOMS:
            self._flush()
            self._done.append(_rows([_by_rdkit(mol)]))
            return
        self._waiting.append(mol)
        if len(self._waiting) == _AT_ONCE:
            self._flush()

    def values(self) -> Doubles:
        """Returns what `NAMES` says, float64 (molecules, 4), in order."""
        self._flush()
        return np.concatenate([np.zeros((0, len(NAMES))), *self._done])

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        if len(waiting) < _FEW:
            self._done.append(_rows([self._alone(mol) for mol in waiting]))
            return
        drawn = [self._drawer.draw(mol) for mol in waiting]
        rows = [row for row, one in enumerate(drawn) if one is not None]
        found = np.zeros((len(waiting), len(NAMES)))
        if rows:
            graph = Graph.join([one for one in drawn if one is not None])
            found[rows] = np.column_stack([crippen(graph), acceptors(graph), rotatable(graph)])
            rows = [row for row, usual in zip(rows, graph.usual.tolist(), strict=True) if usual]
        left = sorted(set(range(len(waiting))).difference(rows))
        found[left] = _rows([_by_rdkit(waiting[row]) for row in left])
        self._done.append(found)

    def _alone(self, mol: Chem.Mol) -> _Numbers:
        drawn = self._drawer.draw(mol)
        sums = None if drawn is None else self._remembering.crippen(drawn)
        return _by_rdkit(mol) if sums is None else (*sums, *_counts(mol))


def _by_rdkit(mol: Chem.Mol) -> _Numbers:
    return (*rdMolDescriptors.CalcCrippenDescriptors(mol), *_counts(mol))


def _counts(mol: Chem.Mol) -> tuple[int, int]:
    return rdMolDescriptors.CalcNumHBA(mol), rdMolDescriptors.CalcNumRotatableBonds(mol)


def _rows(found: Sequence[_Numbers]) -> Doubles:
    return np.array(found, np.float64).reshape(-1, len(NAMES))
