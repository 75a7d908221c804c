"""Known molecules whose features must be the same at every silo.

A hash over them is compared at enrolment and in every update, so that a silo whose RDKit counts
or neutralizes differently is told so and not averaged in.
"""

from collections.abc import Sequence

from agent.features.fast import Featurizer
from agent.wire.documents import FeatureSpec
from agent.wire.golden import rows_sha256

# Well-known drugs and chemicals, chosen for what they exercise: salts, zwitterions, nitro groups,
# stereo centres and double bonds, fused, bridged, spiro and macro rings, S, P, B, Si, halogens.
REFERENCE_SMILES: tuple[str, ...] = (
    "CC(=O)Oc1ccccc1C(=O)O",  # aspirin
    "CC(=O)Nc1ccc(O)cc1",  # paracetamol
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",  # ibuprofen
    "COc1ccc2cc([C@H](C)C(=O)O)ccc2c1",  # naproxen
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",  # caffeine
    "CN1CCC[C@H]1c1cccnc1",  # nicotine
    "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",  # morphine
    "COC(=O)[C@H]1[C@@H](OC(=O)c2ccccc2)C[C@@H]2CC[C@H]1N2C",  # cocaine
    "CC1(C)S[C@@H]2[C@H](NC(=O)Cc3ccccc3)C(=O)N2[C@H]1C(=O)O",  # benzylpenicillin
    "CC1(C)S[C@@H]2[C@H](NC(=O)[C@H](N)c3ccc(O)cc3)C(=O)N2[C@H]1C(=O)O",  # amoxicillin
    "O=C(O)c1cn(C2CC2)c2cc(N3CCNCC3)c(F)cc2c1=O",  # ciprofloxacin
    "COc1cc(Cc2cnc(N)nc2N)cc(OC)c1OC",  # trimethoprim
    "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1",  # sulfamethoxazole
    "Cc1ncc([N+](=O)[O-])n1CCO",  # metronidazole
    "O=C(N[C@H](CO)[C@H](O)c1ccc([N+](=O)[O-])cc1)C(Cl)Cl",  # chloramphenicol
    "NNC(=O)c1ccncc1",  # isoniazid
    "OC(Cn1cncn1)(Cn1cncn1)c1ccc(F)cc1F",  # fluconazole
    "Nc1nc2c(ncn2COCCO)c(=O)[nH]1",  # aciclovir
    "Cc1cn([C@H]2C[C@H](N=[N+]=[N-])[C@@H](CO)O2)c(=O)[nH]c1=O",  # zidovudine
    "CCC(CC)O[C@@H]1C=C(C(=O)OCC)C[C@H](N)[C@H]1NC(C)=O",  # oseltamivir
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",  # diazepam
    "Cc1nnc2n1-c1ccc(Cl)cc1C(c1ccccc1)=NC2",  # alprazolam
    "CCC1(c2ccccc2)C(=O)NC(=O)NC1=O",  # phenobarbital
    "O=C1NC(=O)C(c2ccccc2)(c2ccccc2)N1",  # phenytoin
    "NC(=O)N1c2ccccc2C=Cc2ccccc21",  # carbamazepine
    "CCCC(CCC)C(=O)[O-].[Na+]",  # sodium valproate
    "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1.Cl",  # fluoxetine hydrochloride
    "CN[C@H]1CC[C@@H](c2ccc(Cl)c(Cl)c2)c2ccccc21",  # sertraline
    "CN(C)CCC[C@@]1(c2ccc(F)cc2)OCc2cc(C#N)ccc21",  # escitalopram
    "CN(C)CCCN1c2ccccc2CCc2ccccc21",  # imipramine
    "CN(C)CCCN1c2ccccc2Sc2ccc(Cl)cc21",  # chlorpromazine
    "O=C(CCCN1CCC(O)(c2ccc(Cl)cc2)CC1)c1ccc(F)cc1",  # haloperidol
    "CN1CCN(C2=Nc3cc(Cl)ccc3Nc3ccccc32)CC1",  # clozapine
    "CN1CCN(C2=Nc3ccccc3Nc3sc(C)cc32)CC1",  # olanzapine
    "CC(C)NCC(O)COc1cccc2ccccc12",  # propranolol
    "CC(C)NCC(O)COc1ccc(CC(N)=O)cc1",  # atenolol
    "CC(C)(C)NC[C@H](O)c1ccc(O)c(CO)c1",  # salbutamol
    "CCOC(=O)C1=C(COCCN)NC(C)=C(C(=O)OC)C1c1ccccc1Cl",  # amlodipine
    "COc1ccc([C@@H]2Sc3ccccc3N(CCN(C)C)C(=O)[C@@H]2OC(C)=O)cc1",  # diltiazem
    "COc1ccc(CCN(C)CCCC(C#N)(C(C)C)c2ccc(OC)c(OC)c2)cc1OC",  # verapamil
    "CCCCc1nc(Cl)c(CO)n1Cc1ccc(-c2ccccc2-c2nn[nH]n2)cc1",  # losartan
    "C[C@H](CS)C(=O)N1CCC[C@H]1C(=O)O",  # captopril
    "NS(=O)(=O)c1cc(C(=O)O)c(NCc2ccco2)cc1Cl",  # furosemide
    "CC[C@H](C)C(=O)O[C@H]1C[C@@H](C)C=C2C=C[C@H](C)[C@H](CC[C@@H]3C[C@@H](O)CC(=O)O3)[C@H]21",
    "CC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O",  # warfarin
    "CN(C)C(=N)NC(=N)N",  # metformin
    "COc1ccc(Cl)cc1C(=O)NCCc1ccc(S(=O)(=O)NC(=O)NC2CCCCC2)cc1",  # glibenclamide
    "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",  # omeprazole
    "CNC(=C[N+](=O)[O-])NCCSCc1ccc(CN(C)C)o1",  # ranitidine
    "CCN1CCCC1CNC(=O)c1cc(S(N)(=O)=O)ccc1OC",  # sulpiride
    "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1",  # imatinib
    "COc1cc2ncnc(Nc3ccc(F)c(Cl)c3)c2cc1OCCCN1CCOCC1",  # gefitinib
    "CN(Cc1cnc2nc(N)nc(N)c2n1)c1ccc(C(=O)N[C@@H](CCC(=O)O)C(=O)O)cc1",  # methotrexate
    "O=c1[nH]cc(F)c(=O)[nH]1",  # fluorouracil
    "O=P1(N(CCCl)CCCl)NCCCO1",  # cyclophosphamide
    "CC(C)C[C@H](NC(=O)[C@H](Cc1ccccc1)NC(=O)c1cnccn1)B(O)O",  # bortezomib
    "C[C@]12CC[C@H]3[C@@H](CCC4=CC(=O)CC[C@@]43C)[C@@H]1CC[C@@H]2O",  # testosterone
    "C[C@@H]1C[C@H]2[C@@H]3CCC4=CC(=O)C=C[C@]4(C)[C@@]3(F)[C@@H](O)C[C@]2(C)[C@@]1(O)C(=O)CO",
    "CC[C@H]1OC(=O)[C@H](C)[C@@H](O)[C@H](C)[C@@H](O)[C@](C)(O)C[C@@H](C)C(=O)[C@H](C)[C@@H](O)"
    "[C@]1(C)O",  # erythronolide A, a macrolide's core
    "CC(C)(N)Cc1ccccc1.OC(=O)C(F)(F)F",  # phentermine trifluoroacetate
    "NCC1(CC(=O)O)CCCCC1",  # gabapentin
    "[NH3+][C@@H](Cc1ccc(O)c(O)c1)C(=O)[O-]",  # levodopa as a zwitterion
    "CC(=O)OCC[N+](C)(C)C",  # acetylcholine
    "NC12CC3CC(CC(C3)C1)C2",  # amantadine
    "CC/C(=C(\\c1ccccc1)c1ccc(OCCN(C)C)cc1)c1ccccc1",  # tamoxifen
    "C[Si](C)(C)CCOC(=O)N1CCC2(CC1)OCCO2",  # a silane and a spiro ketal
    "CCCCCCCCCCCCCCCC(=O)O",  # palmitic acid
    "CCO",  # ethanol
)


def reference_sha256(spec: FeatureSpec) -> str:
    """Returns the SHA-256, in hexadecimal, over the features of the reference molecules.

    Raises:
        Refused: `unknown_descriptor`, as `Featurizer`.
    """
    return smiles_sha256(spec, REFERENCE_SMILES)


def smiles_sha256(spec: FeatureSpec, smiles: Sequence[str]) -> str:
    """Returns the hash over the features of these molecules, see `wire.golden.rows_sha256`.

    Raises:
        Refused: `unknown_descriptor`, as `Featurizer`.
    """
    features, _ = Featurizer(spec).featurize_smiles(smiles)
    arrays = (features.indptr, features.indices, features.values, features.dense)
    return rows_sha256(spec, arrays)
