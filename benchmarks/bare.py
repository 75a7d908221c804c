"""The bare calls of RDKit and ChEMBL's pipeline, in a loop of one process: what the work costs.

`python -m benchmarks.bare FILE` reads SMILES, one a line, and prints the seconds that the loop
took. These are the calls behind `agent.assays` and `agent.features`, without their reading of
tables, refusals, caches, processes or files. Nothing of the agent is imported.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from chembl_structure_pipeline import standardizer
from chembl_structure_pipeline.exclude_flag import exclude_flag
from rdkit import Chem, rdBase
from rdkit.Chem import RegistrationHash, rdFingerprintGenerator, rdMolDescriptors, rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize

_FUNCTIONS = rdMolHash.HashFunction
_MORGAN = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
_CRIPPEN = ("CrippenClogP", "CrippenMR")
_FRAGMENTS = rdMolStandardize.LargestFragmentChooser()
_stereo_hash: Callable[..., str] = RegistrationHash.GetStereoTautomerHash
_UNCHARGER = rdMolStandardize.Uncharger()


def standardize(smiles: str) -> str:
    """Parses, standardizes, and takes the keys, the weight and the scaffold; returns the parent."""
    molecule: Chem.Mol | None = Chem.MolFromSmiles(smiles)
    if molecule is None or exclude_flag(molecule, includeRDKitSanitization=False):
        return ""
    parent = standardizer.standardize_mol(molecule, check_exclusion=False)
    if len(Chem.GetMolFrags(parent)) > 1:
        parent = standardizer.get_parent_mol(parent)[0]
    else:
        parent = standardizer.uncharge_mol(standardizer.get_isotope_parent_mol(parent))
    Chem.SanitizeMol(parent)
    plain = Chem.RemoveHs(parent, sanitize=False)
    plain.UpdatePropertyCache(False)
    Chem.CanonicalizeEnhancedStereo(plain)
    rdMolHash.MolHash(plain, _FUNCTIONS.MolFormula)
    _stereo_hash(plain, enable_tautomer_hash_v2=True)
    Chem.RemoveStereochemistry(plain)
    rdMolHash.MolHash(plain, _FUNCTIONS.HetAtomTautomerv2)
    text = str(Chem.MolToSmiles(parent))
    rdMolDescriptors.CalcExactMolWt(parent)
    graph = rdMolHash.MolHash(Chem.MolFromSmiles(text), _FUNCTIONS.ElementGraph)
    flat = Chem.MolFromSmiles(graph, sanitize=False)
    Chem.FastFindRings(flat)
    Chem.MolToSmiles(Chem.MurckoDecompose(flat))
    return text


def featurize(smiles: str, properties: rdMolDescriptors.Properties) -> None:
    """Parses a parent, takes its largest fragment without charge, its counts and descriptors."""
    molecule = Chem.MolFromSmiles(smiles)
    molecule = _UNCHARGER.uncharge(_FRAGMENTS.choose(molecule))
    _MORGAN.GetCountFingerprint(molecule).GetNonzeroElements()
    properties.ComputeProperties(molecule)
    rdMolDescriptors.CalcCrippenDescriptors(molecule)


def main() -> None:
    """Prints the seconds of both steps, and of the processor; the descriptors' names are given."""
    rdBase.DisableLog("rdApp.*")
    smiles = Path(sys.argv[1]).read_text(encoding="utf-8").split("\n")
    names = [name for name in json.loads(sys.argv[2]) if name not in _CRIPPEN]
    properties = rdMolDescriptors.Properties(names)
    processor_s, started_s = time.process_time(), time.perf_counter()
    parents = [standardize(text) for text in smiles]
    standardized_s = time.perf_counter()
    for text in filter(None, parents):
        featurize(text, properties)
    ended_s = time.perf_counter()
    processor_s = time.process_time() - processor_s
    print(json.dumps([standardized_s - started_s, ended_s - standardized_s, processor_s]))


if __name__ == "__main__":
    main()
