"""Molecules that have what the patterns of descriptors tell apart, and some that only RDKit can."""

from rdkit import Chem

from agent.features.reference import REFERENCE_SMILES

# What the reference molecules leave out of Crippen's classes, and what only RDKit can tell.
OTHERS = (
    "C CC CC(C)(C)C CO C=C CC=C=C CC#C C=N CC(=N)C C=CC=C CI Ic1ccccc1 Brc1ccccc1 c1ccccc1C=C",
    "c1ccccc1C(C)=C O=c1cc[nH]cc1 CC(C)N=O NO CNO OC=C OC=O OO OS(C)(=O)=O CONC c1ccccc1O",
    "c1cccn1O OC=N CN CNC CN(C)C Nc1ccccc1 CNc1ccccc1 CN(C)c1ccccc1 CC#N C[N+]#[C-] C[NH+]=C",
    "C[N+](C)(C)C CC=[N+](C)C C[n+]1ccccc1 CN=[N+]=[N-] C[N+](=O)[O-] [O-][n+]1ccccc1 CS(C)=O",
    "CS(=O)(=O)C CS(C)(=O)=NC c1ccsc1 CSC CS C=O CC=O O=CO O=C=O O=Cc1ccccc1 O=C(C)c1ccccc1",
    "O=C(c1ccccc1)c1ccccc1 O=C(N)N O=C(F)Cl O=C(Br)c1ccccc1 COc1ccccc1 COC c1ccoc1",
    "CO[N+](=O)[O-] CP(=O)(O)O CB(O)O C[Si](C)(C)C [13CH4] [2H]C [CH3] O N [Na+]",
    "C[N+](C)(C)[O-] CC(=O)[O-] C1=CC(=O)C=CC1=O C[S+](C)C CN(C)->O *C [C-]#[O+] C[NH3+]",
    "N#[N+]c1ccccc1 C[O-] C=C=O C[NH2+]C OF C[N+](C)=NC OC#C On1cccc1",
)


def molecules() -> list[Chem.Mol]:
    """Returns them, and the reference molecules."""
    # As they are written: what is charged stays so.
    others = [text for line in OTHERS for text in line.split()]
    return [Chem.MolFromSmiles(text) for text in (*REFERENCE_SMILES, *others)]
