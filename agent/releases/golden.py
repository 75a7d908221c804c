"""Whether a release answers for the golden molecules what its maker says; pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import FeatureSpec
from agent.wire.golden import Golden

Floats = npt.NDArray[np.float32]


def read_golden(content: bytes, heads: Sequence[str], spec: FeatureSpec) -> Golden:
    """Reads golden molecules that fit the release.

    Args:
        content: The object, whose hash the manifest names.
        heads: The manifest's.
        spec: The plan's.

    Raises:
        Refused: `wrong_golden`.
    """
    try:
        golden = Golden.parse(content)
    except Refused as error:
        raise _wrong(f"cannot be read: {error.reason}") from error
    if set(golden.heads) != set(heads) or len(golden.heads) != len(heads):
        raise _wrong("are for other heads than the release has.")
    if golden.feature_sha256 != sha256_bytes(spec.to_bytes()):
        raise _wrong("are for another feature specification than the plan's.")
    return golden


def check_rows(golden: Golden, rows_sha256: str) -> None:
    """Checks that this host computes the features of these molecules that the publisher used.

    Raises:
        Refused: `wrong_golden`.
    """
    if rows_sha256 != golden.rows_sha256:
        raise _wrong(
            "have other features on this host; install the RDKit version of the consortium, or "
            "ask what they were made with."
        )


def check_answers(golden: Golden, said: Floats, spread: Floats) -> None:
    """Checks what the graph that was built here answers.

    Args:
        golden: What it must answer.
        said: float32 (molecules, heads), on the model's scale.
        spread: float32 (heads,), of each head's scale; 1 for a class.

    Raises:
        Refused: `wrong_golden`.
    """
    off = np.abs(said - np.asarray(golden.expected)) / spread
    # A NaN compares as false with everything: ask for what is right, not for what is wrong.
    right = off <= golden.tolerance
    if bool(right.all()):
        return
    wrong = ~right
    count, head = int(wrong.any(axis=1).sum()), golden.heads[int(wrong.any(axis=0).argmax())]
    raise _wrong(
        f"are answered otherwise than the publisher says: {count} of {len(golden.smiles)}, "
        f"first in {head}. It is not the model that was meant; tell the consortium."
    )


def _wrong(what: str) -> Refused:
    return Refused("wrong_golden", f"The release's golden molecules {what}")
