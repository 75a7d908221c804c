"""The golden molecules as data from which the features of any spec follow without RDKit.

`python -m agent.features.golden > consortium/golden.json` writes them. Unfolded Morgan identifiers
are kept by the layer in which each first comes, and every descriptor that RDKit offers as it is:
an aggregator, which has no RDKit, folds and scales them as a plan says (`consortium/golden.py`).
"""

import json
import sys
from collections.abc import Sequence

from rdkit import rdBase
from rdkit.Chem import Mol, rdFingerprintGenerator, rdMolDescriptors

from agent.errors import Refused
from agent.features.light import light_mol
from agent.records import InvalidStructure, Json

MAX_RADIUS = 4  # as `FeatureSpec.radius`

# Of the reference molecules (`agent.features.reference`): drugs that everybody knows, among them
# a salt, a zwitterion, stereo centres, a bridged ring, S, P, B, F, Cl and a nitro group.
GOLDEN_SMILES: tuple[str, ...] = (
    "CC(=O)Oc1ccccc1C(=O)O",  # aspirin
    "CC(=O)Nc1ccc(O)cc1",  # paracetamol
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",  # ibuprofen
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",  # caffeine
    "CN1CCC[C@H]1c1cccnc1",  # nicotine
    "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",  # morphine
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",  # benzylpenicillin
    "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",  # ciprofloxacin
    "Cc1ncc([N+](=O)[O-])n1CCO",  # metronidazole
    "OC(Cn1cncn1)(Cn1cncn1)c1ccc(F)cc1F",  # fluconazole
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",  # diazepam
    "NC(=O)N1c2ccccc2C=Cc2ccccc21",  # carbamazepine
    "CCCC(CCC)C(=O)[O-].[Na+]",  # sodium valproate
    "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",  # haloperidol
    "CC(C)NCC(O)COc1cccc2ccccc12",  # propranolol
    "COc1ccc(CCN(C)CCCC(C#N)(C(C)C)c2ccc(OC)c(OC)c2)cc1OC",  # verapamil
    "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",  # warfarin
    "CN(C)C(=N)NC(=N)N",  # metformin
    "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",  # omeprazole
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",  # imatinib
    "O=P1(N(CCCl)CCCl)NCCCO1",  # cyclophosphamide
    "CC(C)C[C@H](NC(=O)[C@H](Cc1ccccc1)NC(=O)c1cnccn1)B(O)O",  # bortezomib
    "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@@]43C)[C@@H]1CC[C@@H]2O",  # testosterone
    "[NH3+][C@@H](Cc1ccc(O)c(O)c1)C(=O)[O-]",  # levodopa as a zwitterion
)


def raw_molecules(smiles: Sequence[str]) -> list[Json]:
    """Returns what RDKit says of each molecule, before any spec folds or scales it.

    Returns:
        Per molecule `smiles`, `layers` (of radius 0 to 4: pairs of an unfolded identifier and how
        often it comes, those of smaller radii left out) and `descriptors` by name.

    Raises:
        Refused: `bad_structure`: RDKit cannot read one.
    """
    return [_raw(text) for text in smiles]


def _raw(smiles: str) -> Json:
    mol = light_mol(smiles, "smiles")
    if isinstance(mol, InvalidStructure):
        raise Refused("bad_structure", f"A golden molecule cannot be used: {mol.cause}")
    names = list(rdMolDescriptors.Properties.GetAvailableProperties())
    numbers = rdMolDescriptors.Properties(names).ComputeProperties(mol)
    layers: list[Json] = [list(layer) for layer in _layers(mol)]
    return {
        "smiles": smiles,
        "layers": layers,
        "descriptors": dict(zip(names, map(float, numbers), strict=True)),
    }


def _layers(mol: Mol) -> list[list[Json]]:
    layers: list[list[Json]] = []
    before: dict[int, int] = {}
    for radius in range(MAX_RADIUS + 1):
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius)
        found: dict[int, int] = generator.GetSparseCountFingerprint(mol).GetNonzeroElements()
        new = {name: count - before.get(name, 0) for name, count in found.items()}
        layers.append([[name, count] for name, count in sorted(new.items()) if count])
        before = found
    return layers


def main() -> None:
    """Writes the data of the golden molecules to stdout."""
    molecules = raw_molecules(GOLDEN_SMILES)
    content = {"rdkit": rdBase.rdkitVersion, "molecules": molecules}
    sys.stdout.write(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
