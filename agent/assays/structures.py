"""What is the same compound: ChEMBL's structure pipeline, then RDKit's registration hash.

Identity is the full standardization, done once a structure; features start from a lighter one
(docs/architecture.md). Sources: Bento et al., J. Cheminf. 2020, 12:51 (the pipeline);
RDKit's `RegistrationHash` with its tautomer layer in place of canonical tautomers.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from chembl_structure_pipeline import standardizer
from chembl_structure_pipeline.exclude_flag import exclude_flag
from rdkit import Chem, rdBase
from rdkit.Chem import RegistrationHash, rdMolDescriptors, rdMolHash, rdqueries
from rdkit.Chem.MolStandardize import rdMolStandardize

from agent.assays.split import fold_group
from agent.files import sha256_bytes
from agent.records import Compound, InvalidStructure, Structure

IDENTITY_VERSION = 1
"""Rises with every change here that may give a structure another answer: caches start anew."""

MAX_SMILES_CHARS = 5_000
MAX_MOLBLOCK_CHARS = 200_000
MAX_HEAVY_ATOMS = 250

_CACHED_STRUCTURES = 50_000
_CARBON = Chem.MolFromSmarts("[#6]")
_WILDCARD = Chem.MolFromSmarts("[#0]")
_ISOTOPE = Chem.MolFromSmarts("[!0*]")
# Whatever `exclude_flag` could refuse is among these; it walks over all atoms in Python.
_UNUSUAL = Chem.MolFromSmarts("[!#1!#6!#7!#8!#9!#15!#16!#17!#35!#53]")
_TARTRATE = Chem.MolFromSmarts("OC(=O)C(O)C(O)C(=O)O")
_MAPPED = Chem.RWMol()
_MAPPED.AddAtom(rdqueries.HasPropQueryAtom("molAtomMapNumber"))
_UNCHARGER = rdMolStandardize.Uncharger(canonicalOrder=True)
_WEIGHT = rdMolDescriptors.Properties(["amw"])  # average molecular weight
# The second tautomer hash joins keto and enol too, which the first keeps apart.
_TAUTOMER = rdMolHash.HashFunction.HetAtomTautomerv2
_stereo_hash: Callable[..., str] = RegistrationHash.GetStereoTautomerHash
_FORMULA = rdMolHash.HashFunction.MolFormula


class _Rejected(Exception):
    def __init__(self, step: str, cause: str) -> None:
        super().__init__(cause)
        self.invalid = InvalidStructure(step, cause)


def identify(structure: str, structure_format: Structure) -> Compound | InvalidStructure:
    """Finds out which compound a structure is.

    Args:
        structure: SMILES or a molblock, as given.
        structure_format: Which of the two.

    Returns:
        The parent (salts, solvents, charges and isotopes stripped) with its keys, or the step
        that refused the structure: `missing`, `length`, `parse`, `query`, `size`, `metal`,
        `standardize`, `carbon` or `mixture`.
    """
    return _remembered(structure, structure_format)


def identified(structure: str, structure_format: Structure) -> Compound | InvalidStructure:
    """Does what `identify` does, and remembers nothing: for those who keep the answer themselves.

    Args:
        structure: SMILES or a molblock, as given.
        structure_format: Which of the two.
    """
    # A molblock's first lines are blank by right; a SMILES has nothing to say with blanks.
    structure = structure.strip() if structure_format == "smiles" else structure
    try:
        with rdBase.BlockLogs():  # RDKit would print structures to stderr
            return _compound(_parent(_parse(structure, structure_format)))
    except _Rejected as rejected:
        return rejected.invalid
    except (ValueError, RuntimeError):  # how RDKit's C++ reports chemistry and invariants
        return InvalidStructure("standardize", "The structure cannot be standardized.")


_remembered = lru_cache(maxsize=_CACHED_STRUCTURES)(identified)


def _parse(structure: str, structure_format: Structure) -> Chem.Mol:
    if not structure.strip():
        raise _Rejected("missing", "There is no structure.")
    limit = MAX_SMILES_CHARS if structure_format == "smiles" else MAX_MOLBLOCK_CHARS
    if len(structure) > limit:
        raise _Rejected("length", f"The structure has over {limit} characters.")
    read = Chem.MolFromSmiles if structure_format == "smiles" else Chem.MolFromMolBlock
    molecule: Chem.Mol | None = read(structure)
    if molecule is None or not molecule.GetNumAtoms():
        raise _Rejected("parse", f"RDKit cannot read the {structure_format}.")
    return molecule


def _parent(molecule: Chem.Mol) -> Chem.Mol:
    if molecule.HasSubstructMatch(_WILDCARD):
        raise _Rejected("query", "The structure has wildcard atoms, as in a polymer or a query.")
    if molecule.GetNumHeavyAtoms() > MAX_HEAVY_ATOMS:
        raise _Rejected("size", f"The structure has over {MAX_HEAVY_ATOMS} heavy atoms.")
    if molecule.HasSubstructMatch(_UNUSUAL) and exclude_flag(
        molecule, includeRDKitSanitization=False
    ):
        raise _Rejected("metal", "The structure holds a metal or a boron cluster.")
    parent = _strip(_standardized(molecule))
    if not parent.HasSubstructMatch(_CARBON):
        raise _Rejected("carbon", "The structure has no carbon.")
    if len(Chem.GetMolFrags(parent)) > 1:
        raise _Rejected("mixture", "More than one compound is left without salts and solvents.")
    Chem.SanitizeMol(parent)
    return parent


def _standardized(molecule: Chem.Mol) -> Chem.Mol:
    """Takes the steps of `standardizer.standardize_mol`, with what each builds anew built once."""
    plain: Chem.Mol = standardizer.update_mol_valences(molecule)
    plain = standardizer.kekulize_mol(standardizer.remove_sgroups_from_mol(plain))
    plain = _uncharged(standardizer.normalize_mol(_with_few_hs(plain)))
    if plain.HasSubstructMatch(_TARTRATE):
        plain = standardizer.flatten_tartrate_mol(plain)
    plain = standardizer.cleanup_drawing_mol(plain)
    Chem.SanitizeMol(plain)
    return plain


def _with_few_hs(molecule: Chem.Mol) -> Chem.Mol:
    if molecule.GetNumAtoms() != molecule.GetNumHeavyAtoms():
        left: Chem.Mol = standardizer.remove_hs_from_mol(molecule)
        return left
    # Without a hydrogen as an atom, its walks over all atoms in Python find nothing.
    Chem.FastFindRings(molecule)
    if molecule.NeedsUpdatePropertyCache():
        molecule.UpdatePropertyCache(strict=False)
    return Chem.RemoveHs(molecule, sanitize=False)


def _uncharged(molecule: Chem.Mol) -> Chem.Mol:
    """Does what `standardizer.uncharge_mol` does, which makes a new `Uncharger` at each call."""
    neutral: Chem.Mol = _UNCHARGER.uncharge(molecule)
    neutral.UpdatePropertyCache(strict=False)
    return neutral


def _without_isotopes(molecule: Chem.Mol) -> Chem.Mol:
    if molecule.HasSubstructMatch(_ISOTOPE):
        parent: Chem.Mol = standardizer.get_isotope_parent_mol(molecule)
        return parent
    return _with_few_hs(molecule)


def _strip(molecule: Chem.Mol) -> Chem.Mol:
    if len(Chem.GetMolFrags(molecule)) > 1:
        parent: Chem.Mol = standardizer.get_parent_mol(molecule)[0]
        return parent
    # `get_parent_mol` reads its salt list from disk at each call (3.7 ms); a single fragment is
    # its own parent whatever the list says, which leaves isotopes and charge (0.3 ms).
    return _uncharged(_without_isotopes(molecule))


def _compound(parent: Chem.Mol) -> Compound:
    key, flat_key = registration_keys(parent)
    smiles = str(Chem.MolToSmiles(parent))
    return Compound(
        key=key,
        flat_key=flat_key,
        smiles=smiles,
        weight_g_mol=float(_WEIGHT.ComputeProperties(parent)[0]),
        fold_group=fold_group(_scaffold(smiles), flat_key),
    )


def registration_keys(parent: Chem.Mol) -> tuple[str, str]:
    """Returns the stereo-aware and the flat key: formula and tautomer layer, hashed.

    The layers are those of `RegistrationHash.GetMolLayers`; it would work out four more that
    nothing here needs, in twice the time.

    Args:
        parent: A standardized parent.
    """
    molecule = _without_hs(parent, keep_stereogenic=True)
    if molecule.HasSubstructMatch(_MAPPED):
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)
    Chem.CanonicalizeEnhancedStereo(molecule)
    formula = rdMolHash.MolHash(molecule, _FORMULA)
    stereo = _stereo_hash(molecule, enable_tautomer_hash_v2=True)
    flat = _without_hs(molecule, keep_stereogenic=False)
    Chem.RemoveStereochemistry(flat)
    no_stereo = rdMolHash.MolHash(flat, _TAUTOMER)
    return _digest(formula, stereo), _digest(formula, no_stereo)


def _without_hs(molecule: Chem.Mol, *, keep_stereogenic: bool) -> Chem.Mol:
    params: Any = Chem.RemoveHsParameters()  # its stubs are wrong
    params.updateExplicitCount = True
    params.removeDefiningBondStereo = not keep_stereogenic
    edited: Chem.Mol = Chem.RemoveHs(molecule, params, sanitize=False)
    edited.UpdatePropertyCache(False)
    return edited


def _digest(*layers: str) -> str:
    return sha256_bytes("\n".join(layers).encode())


def scaffold(smiles: str) -> str:
    """Returns the Bemis-Murcko scaffold of a standardized parent, or an empty text without rings.

    It is taken from the element graph (every bond single), because tautomers of one compound have
    different double bonds, and must share a fold. Source: Bemis and Murcko, J. Med. Chem. 1996,
    39, 2887.

    Args:
        smiles: `Compound.smiles`.
    """
    with rdBase.BlockLogs():
        return _scaffold(smiles)


def _scaffold(smiles: str) -> str:
    graph = rdMolHash.MolHash(Chem.MolFromSmiles(smiles), rdMolHash.HashFunction.ElementGraph)
    flat = Chem.MolFromSmiles(graph, sanitize=False)
    Chem.FastFindRings(flat)
    core = Chem.MurckoDecompose(flat)
    for place in range(core.GetNumAtoms()):  # hydrogens and charges move with tautomers too
        atom = core.GetAtomWithIdx(place)
        atom.SetFormalCharge(0)
        atom.SetNumExplicitHs(0)
        atom.SetNoImplicit(True)
    return str(Chem.MolToSmiles(core))
