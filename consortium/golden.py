"""What a release must answer for the golden molecules, computed without torch and without RDKit.

`golden.json` is data that `agent/features/golden.py` made: unfolded fingerprints and plain
descriptors of well-known drugs. A plan's feature spec folds and scales them; plain numpy runs the
network (`agent.wire.forward`); the catalogue scales its answers.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import Catalogue, Document, Endpoint, FeatureSpec, Finite, ObjectRef, Plan
from agent.wire.forward import forward
from agent.wire.golden import TOLERANCE, Golden, on_model_scale, rows_sha256
from agent.wire.members import of_member
from agent.wire.network import expected_shapes
from agent.wire.update import Weights, decode
from consortium.objects import get_object, put_object

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


class RawMolecule(Document):
    """A molecule before any spec folds or scales it, see `agent.features.golden`."""

    smiles: str
    layers: tuple[tuple[tuple[int, int], ...], ...]
    descriptors: dict[str, Finite]


class RawMolecules(Document):
    """The content of `golden.json`; `rdkit` says which version made it."""

    rdkit: str
    molecules: tuple[RawMolecule, ...]


def golden_of(weights: Weights, plan: Plan, catalogue: Catalogue) -> Golden:
    """Returns what a release of these weights must answer.

    Args:
        weights: Checked tensors of the plan's network and endpoints.
        plan: With feature spec, network and endpoints.
        catalogue: With the endpoints' scales.

    Raises:
        Refused: `no_golden`: the plan's features need a descriptor that `golden.json` lacks, or an
            answer comes out as no finite number.
    """
    molecules, spec = _shipped().molecules, plan.features
    rows = [_counts(molecule, spec) for molecule in molecules]
    dense = _dense(molecules, spec)
    counts = np.zeros((len(rows), spec.hash_size))
    for number, (columns, values) in enumerate(rows):
        counts[number, columns] = values
    with np.errstate(all="ignore"):  # what overflows is refused below, by name
        answers = _answers(weights, plan, (counts, dense.astype(np.float64)), catalogue)
    if not bool(np.isfinite(answers).all()):
        raise Refused("no_golden", "These weights answer a golden molecule with no finite number.")
    indptr = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    columns, values = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return Golden(
        feature_sha256=sha256_bytes(spec.to_bytes()),
        rows_sha256=rows_sha256(spec, (indptr, columns, values, dense)),
        smiles=tuple(molecule.smiles for molecule in molecules),
        heads=plan.endpoints,
        expected=tuple(tuple(map(float, row)) for row in answers),
        tolerance=TOLERANCE,
    )


def _answers(
    weights: Weights, plan: Plan, asked: tuple[Doubles, Doubles], catalogue: Catalogue
) -> Doubles:
    endpoints, network = _endpoints(plan, catalogue), plan.network
    said = [
        on_model_scale(
            forward(of_member(weights, member), network.single(), *asked, plan.endpoints), endpoints
        )
        for member in range(network.members)
    ]
    mean: Doubles = np.mean(said, axis=0)
    return mean


def put_golden(
    objects: Path, weights: ObjectRef, plan: Plan, catalogue: Catalogue
) -> ObjectRef | None:
    """Makes the golden answers of published weights durable.

    Returns:
        Where they are; None where the plan reads features that `golden.json` does not know.

    Raises:
        Refused: As `get_object` and `decode`.
        OSError: The disk is full.
    """
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    tensors = decode(get_object(objects, weights.sha256), shapes)
    try:
        golden = golden_of(tensors, plan, catalogue)
    except Refused:
        return None
    return put_object(objects, golden.to_bytes())


@cache
def _shipped() -> RawMolecules:
    return RawMolecules.parse(resources.files("consortium").joinpath("golden.json").read_bytes())


def _counts(molecule: RawMolecule, spec: FeatureSpec) -> tuple[npt.NDArray[np.int64], Floats]:
    # Folding is the identifier modulo the size, as RDKit does it; a test holds the two together.
    folded: Counter[int] = Counter()
    for layer in molecule.layers[: spec.radius + 1]:
        for name, count in layer:
            folded[name % spec.hash_size] += count
    pairs = np.array(sorted(folded.items()), dtype=np.int64)
    return pairs[:, 0], np.log1p(pairs[:, 1].astype(np.float64)).astype(np.float32)


def _dense(molecules: Sequence[RawMolecule], spec: FeatureSpec) -> Floats:
    names = [scaling.name for scaling in spec.descriptors]
    if unknown := sorted(set(names) - molecules[0].descriptors.keys()):
        raise Refused("no_golden", f"golden.json has no descriptor {unknown[0]!r}; make it anew.")
    raw = np.array([[molecule.descriptors[name] for name in names] for molecule in molecules])
    centre = np.array([scaling.centre for scaling in spec.descriptors])
    spread = np.array([scaling.spread for scaling in spec.descriptors])
    scaled: Doubles = (raw.reshape(len(molecules), len(names)) - centre) / spread
    return np.clip(scaled, -spec.clip, spec.clip).astype(np.float32)


def _endpoints(plan: Plan, catalogue: Catalogue) -> list[Endpoint]:
    known = {endpoint.id: endpoint for endpoint in catalogue.endpoints}
    return [known[name] for name in plan.endpoints]
