"""Golden molecules: what a release must answer for a few well-known drugs, stated by its maker.

The object travels beside the weights and is named by its hash in the release's manifest. It holds
on site that features, weights, scale and graph are those that the consortium meant.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from agent.errors import Refused
from agent.wire.documents import Document, Endpoint, FeatureSpec, Finite, Sha256
from agent.wire.scale import head_scale

MOST_MOLECULES = 64
MOST_BYTES = 1 << 20
TOLERANCE = 1e-3  # of a spread: float32 in another order differs by some 1e-6 of it
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.float32]
_DECIMALS = 5  # coarser than float32 on any CPU, finer than any change of a definition


class Golden(Document):
    """Molecules, the hash of their features, and what the federated network says of each.

    Attributes:
        feature_sha256: Of the feature spec.
        rows_sha256: Over the molecules' features (`rows_sha256`).
        smiles: The molecules.
        heads: The release's heads.
        expected: A row for each molecule, a number for each head, on the model's scale; a
            probability for a class.
        tolerance: How far an answer may be off, in units of the head's spread (for a class: of the
            probability).
    """

    kind: Literal["golden"] = "golden"
    feature_sha256: Sha256
    rows_sha256: Sha256
    smiles: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=500)], ...],
        Field(min_length=1, max_length=MOST_MOLECULES),
    ]
    heads: Annotated[tuple[str, ...], Field(min_length=1)]
    expected: tuple[tuple[Finite, ...], ...]
    # A table of generous tolerances would be a check that checks nothing.
    tolerance: Annotated[float, Field(gt=0, le=0.05)]

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Reads golden molecules from bytes whose hash was checked.

        Raises:
            Refused: As `Document.parse`, also where the answers are no table.
        """
        golden = super().parse(content)
        whole = len(golden.expected) == len(golden.smiles)
        if not whole or any(len(row) != len(golden.heads) for row in golden.expected):
            raise Refused(
                "malformed", "Golden needs a row for each molecule and a number for each head."
            )
        return golden


def rows_sha256(spec: FeatureSpec, arrays: Sequence[Numbers]) -> str:
    """Returns the SHA-256, in hexadecimal, over a spec and the features that it led to.

    Numbers are rounded to five decimals first: other CPUs agree, another RDKit behaviour does not.

    Args:
        spec: The feature spec.
        arrays: Of the CSR rows: where each starts, columns, log1p counts, scaled descriptors.
    """
    digest = hashlib.sha256(spec.to_bytes())
    for numbers in arrays:
        # Adding 0.0 turns -0.0 into 0.0, which is the same number in other bytes.
        rounded = np.round(numbers.astype(np.float64), _DECIMALS) + 0.0
        digest.update(rounded.astype("<f8").tobytes())
    return digest.hexdigest()


def on_model_scale(
    raw: npt.NDArray[np.float64], endpoints: Sequence[Endpoint]
) -> npt.NDArray[np.float64]:
    """Takes raw answers (n, heads) to the scale on which predictions are made."""
    columns = [_scaled(raw[:, number], endpoint) for number, endpoint in enumerate(endpoints)]
    return np.stack(columns, axis=1)


def _scaled(raw: npt.NDArray[np.float64], endpoint: Endpoint) -> npt.NDArray[np.float64]:
    if endpoint.kind == "classification":
        # tanh cannot overflow where exp would.
        return (1.0 + np.tanh(raw / 2.0)) / 2.0
    centre, spread = head_scale(endpoint)
    return raw * spread + centre
