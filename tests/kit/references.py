"""A small reference for tests: what the keeper's worker writes of a frozen snapshot."""

from pathlib import Path

import numpy as np

from agent.assays.identity_cache import origin
from agent.assays.lookup import counted
from agent.assays.reference import Contents, Fingerprints, Share, write_reference
from agent.assays.structures import identified
from agent.features.fast import Featurizer
from agent.records import Compound
from agent.releases import shelf
from agent.wire.documents import FeatureSpec, Scaling

SPEC = FeatureSpec(
    version="onggi-fast-1",
    radius=2,
    hash_size=256,
    descriptors=(Scaling(name="tpsa", centre=72.0, spread=32.0),),
    clip=5.0,
)
ENDPOINTS = (("logd", ""), ("solubility", "uM"))
# Structure, endpoint, value, qualifier, how many, newest
KNOWN: tuple[tuple[str, int, float, int, int, str], ...] = (
    ("CC(=O)Nc1ccc(O)cc1", 0, 0.46, 0, 3, "2024-05-06"),
    ("CC(=O)Nc1ccc(O)cc1", 1, 100.0, 1, 1, "2023-01-02"),
    ("CC(=O)Nc1ccccc1O", 1, 0.5, -1, 2, ""),
    ("C[C@H](N)C(=O)O", 0, -2.9, 0, 1, "2020-02-03"),
    ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", 0, -0.07, 0, 1, "2022-02-03"),
    ("CCN(CC)CC", 1, 7.0, 0, 1, "2021-02-03"),
)
NAME = "a" * 64


def contents(known: tuple[tuple[str, int, float, int, int, str], ...] = KNOWN) -> Contents:
    """Returns what goes into the file."""
    compounds = {}
    for smiles, *_ in known:
        compound = identified(smiles, "smiles")
        assert isinstance(compound, Compound)
        compounds[smiles] = compound
    by_key = sorted(compounds.values(), key=lambda compound: compound.key)
    place = {compound.key: number for number, compound in enumerate(by_key)}
    labels = sorted((place[compounds[smiles].key], *rest) for smiles, *rest in known)
    features, _ = Featurizer(SPEC).featurize_smiles([compound.smiles for compound in by_key])
    indices, counts = counted(features.indices, features.values)
    rows, cols, values, qualifiers, n, dates = (
        np.array(column) for column in zip(*labels, strict=True)
    )
    return Contents(
        [compound.key for compound in by_key],
        [compound.smiles for compound in by_key],
        ENDPOINTS,
        rows,
        cols,
        values,
        qualifiers,
        n,
        dates,
        Fingerprints(features.indptr, indices, counts),
        {"features": SPEC.model_dump_json(), "identity": origin()},
    )


def lay_out(folder: Path, share: Share = "values", name: str = NAME, **changes: str) -> Path:
    """Writes the reference and makes it the one in use; `changes` are facts that it notes."""
    folder.mkdir(exist_ok=True)
    staged = folder.parent / f"staged-{name[:8]}.sqlite3"
    content = contents()
    content.about.update(changes)
    list(write_reference(staged, content, share))
    shelf.put(folder, staged, name)
    return shelf.path_of(folder, name)
