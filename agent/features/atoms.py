"""What is left of a molecule's counts without each of its atoms, for telling what each contributes.

An atom is taken out with every circular environment that it is a part of, as Riniker and Landrum
do for similarity maps (2013, J. Cheminform. 5, 43); descriptors stay, since they have no atoms.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from agent.features.rows import Features

Count = Callable[..., object]


def without_each_atom(mol: Chem.Mol, whole: Features, count: Count) -> Features:
    """Returns a row for each atom, in the molecule's order, in which it is missing.

    Args:
        mol: As `light_mol` made it.
        whole: Its one row of features.
        count: What counted them, `GetCountFingerprint` of the generator.
    """
    rows = [(whole.indices, _less(whole, missing)) for missing in _environments(mol, count)]
    return Features.from_rows(rows, np.repeat(whole.dense, len(rows), axis=0))


def _environments(mol: Chem.Mol, count: Count) -> list[Counter[int]]:
    """Returns by atom how many environments it is in, by the column that each is counted in."""
    extra = rdFingerprintGenerator.AdditionalOutput()
    extra.AllocateBitInfoMap()
    count(mol, additionalOutput=extra)
    found: list[Counter[int]] = [Counter() for _ in range(mol.GetNumAtoms())]
    for column, environments in extra.GetBitInfoMap().items():
        for centre, radius in environments:
            for atom in _atoms(mol, centre, radius):
                found[atom][column] += 1
    return found


def _atoms(mol: Chem.Mol, centre: int, radius: int) -> set[int]:
    atoms = {centre}
    for number in Chem.FindAtomEnvironmentOfRadiusN(mol, radius, centre) if radius else ():
        bond = mol.GetBondWithIdx(number)
        atoms |= {bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()}
    return atoms


def _less(whole: Features, missing: Counter[int]) -> npt.NDArray[np.float32]:
    taken = np.array([missing[column] for column in whole.indices.tolist()], np.float64)
    counts = np.rint(np.expm1(whole.values.astype(np.float64))) - taken
    return np.log1p(np.maximum(counts, 0.0)).astype(np.float32)
