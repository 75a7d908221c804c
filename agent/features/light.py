"""The light standardization that features start from: largest fragment, then neutralized.

Identity uses another, full one (`agent.assays`). This one costs about as much as parsing the
SMILES and runs unchanged in training, scoring and serving (docs/architecture.md).
"""

import re

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from agent.records import InvalidStructure, Structure

# RDKit quotes the structure in its complaints; a structure must never reach a log.
rdBase.DisableLog("rdApp.*")

MAX_SMILES_CHARS = 5_000  # an 80 kB SMILES of many fragments held RDKit for 27 s
MAX_MOLBLOCK_CHARS = 100_000  # 250 atoms and their bonds in V3000 stay well below
MAX_HEAVY_ATOMS = 250
MAX_ATOMS = 1_000  # with written-out hydrogens and dummies: 2,500 dummies held RDKit for 2 s
_LONG_MOLBLOCK_CHARS = 30_000  # some 450 atoms and their bonds in V2000

# Of one fragment without a charge nothing is to be done; finding that out takes RDKit 0.15 ms.
_FRAGMENTED = frozenset(".|")  # "|": an extension may say anything
_CHARGED = re.compile(r"\[[^\]]*[+-]")  # elsewhere "-" is a bond

_FRAGMENTS = rdMolStandardize.LargestFragmentChooser()
_UNCHARGER = rdMolStandardize.Uncharger()


def light_mol(structure: str, fmt: Structure) -> Chem.Mol | InvalidStructure:
    """Parses a structure and standardizes it lightly.

    Args:
        structure: A SMILES or a mol block.
        fmt: Which of the two it is.

    Returns:
        The sanitized, neutralized largest fragment, or the step that refused the structure
        (`length`, `parse`, `size` or `standardize`) and why.
    """
    refused = _too_long(structure, fmt) or _too_many_atoms_early(structure, fmt)
    if refused is not None:
        return refused
    mol = _parse(structure, fmt)
    if mol is None:
        return InvalidStructure("parse", "RDKit cannot read it; check atoms, valences and rings.")
    if mol.GetNumHeavyAtoms() == 0:
        return InvalidStructure("size", "It has no heavy atom.")
    if fmt != "smiles" or not _FRAGMENTED.isdisjoint(structure):
        return _too_many(mol) or _standardize(mol)
    if _CHARGED.search(structure):
        return _too_many(mol) or _standardize(mol, whole=True)
    return _too_many(mol) or mol


def _too_long(structure: str, fmt: Structure) -> InvalidStructure | None:
    limit = MAX_SMILES_CHARS if fmt == "smiles" else MAX_MOLBLOCK_CHARS
    if len(structure) > limit:
        return InvalidStructure("length", f"It has over {limit:,} characters; give one molecule.")
    # The C++ parser stops at a NUL and would read the front of the text as the whole.
    if "\0" in structure:
        return InvalidStructure("parse", "It contains a NUL character.")
    return None


def _too_many_atoms_early(structure: str, fmt: Structure) -> InvalidStructure | None:
    # A SMILES has at least one character an atom, so only a long one needs the second parse,
    # which leaves out ring perception: the step whose cost explodes.
    short = MAX_HEAVY_ATOMS if fmt == "smiles" else _LONG_MOLBLOCK_CHARS
    if len(structure) <= short:
        return None
    mol = _parse(structure, fmt, sanitize=False)
    return None if mol is None else _too_many(mol)


def _parse(structure: str, fmt: Structure, sanitize: bool = True) -> Chem.Mol | None:
    try:
        if fmt == "smiles":
            return Chem.MolFromSmiles(structure.strip(), sanitize=sanitize)
        return Chem.MolFromMolBlock(structure, sanitize=sanitize)
    except (ValueError, RuntimeError):  # a lone surrogate; RDKit's own invariants
        return None


def _too_many(mol: Chem.Mol) -> InvalidStructure | None:
    counted = (
        (mol.GetNumHeavyAtoms(), MAX_HEAVY_ATOMS, "heavy atoms"),
        (mol.GetNumAtoms(), MAX_ATOMS, "atoms"),
    )
    for number, limit, what in counted:
        if number > limit:
            return InvalidStructure("size", f"It has {number} {what}; the limit is {limit}.")
    return None


def _standardize(mol: Chem.Mol, *, whole: bool = False) -> Chem.Mol | InvalidStructure:
    try:
        return _UNCHARGER.uncharge(mol if whole else _FRAGMENTS.choose(mol))
    except (ValueError, RuntimeError):
        return InvalidStructure("standardize", "RDKit cannot take its charges and salts apart.")
