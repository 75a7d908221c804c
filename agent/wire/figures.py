"""What gates found of a release, added up without anybody's own figures being read: CKKS.

    key holder    makes a key, hands out its public half; never meets a silo's file
    silo          encrypts what its gate measured, head by head, and signs the file
    aggregator    checks who signed, adds the ciphertexts, and cannot open one
    key holder    opens the sum: of each head the mean change of the error, and of how many silos

The files are carried by people: nothing here travels by itself. That key holder and aggregator are
apart is a matter of organisation; together they open every silo's figures.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from agent.errors import Refused
from agent.wire.document import Document, Moment, Name, Sha256
from agent.wire.homomorphic import Doubles, SumKey, add, encrypt

KIND = "figures"
LEAST_SILOS = 3  # of two, each would know the other's from the sum
MOST_CHANGE = 10.0
_PER_HEAD = 2
_COUNT_ERROR = 1e-2
_Heads = Annotated[tuple[Annotated[str, Field(max_length=128)], ...], Field(max_length=10_000)]
_Pieces = Annotated[tuple[str, ...], Field(max_length=8)]
Errors = Mapping[str, tuple[float | None, float | None]]
"""By head: the error of the release before, and of this one, on the same measurements."""


class Figures(Document):
    """One silo's, encrypted.

    Attributes:
        weights_sha256: Of the release.
        heads: Whose figures they are, in this order.
        key_sha256: Of the public half that they were encrypted with.
        pieces: Ciphertexts in base64.
    """

    kind: Literal["figures"] = "figures"
    consortium: Name
    silo: Name
    release_id: Name
    weights_sha256: Sha256
    heads: _Heads
    key_sha256: Sha256
    pieces: _Pieces
    created: Moment


class FigureSum(Document):
    """What the aggregator hands to the key holder.

    Attributes:
        silos: Whose figures are in it.
    """

    kind: Literal["figure_sum"] = "figure_sum"
    consortium: Name
    release_id: Name
    weights_sha256: Sha256
    heads: _Heads
    key_sha256: Sha256
    silos: Annotated[tuple[Name, ...], Field(max_length=10_000)]
    pieces: _Pieces


@dataclass(frozen=True, slots=True)
class Mean:
    """What all silos together found of a head.

    Attributes:
        silos: How many judged it.
        change: Of the error, relative to the release before; the mean over those silos. None
            where fewer than three judged it: it would say too much of each.
    """

    silos: int
    change: float | None


def key_id(public: bytes) -> str:
    """Names a key by the SHA-256 of its public half, which is written once: no two are alike."""
    return hashlib.sha256(public).hexdigest()


def numbers(heads: Sequence[str], errors: Errors) -> Doubles:
    """Returns what is encrypted, float64 (2 a head): whether it was judged, and the change.

    A head that was not judged is two zeros, which under encryption look like anything else.
    """
    found = np.zeros((len(heads), _PER_HEAD))
    for place, head in enumerate(heads):
        before, after = errors.get(head, (None, None))
        if before is None or after is None or not (before > 0 and math.isfinite(before + after)):
            continue
        change = (after - before) / before
        found[place] = 1.0, min(max(change, -MOST_CHANGE), MOST_CHANGE)
    return found.reshape(-1)


def sealed(public: bytes, heads: Sequence[str], errors: Errors) -> tuple[str, ...]:
    """Returns a silo's pieces in base64.

    Raises:
        Refused: As `homomorphic.encrypt`.
        Stop: TenSEAL is not installed.
    """
    return tuple(map(_b64, encrypt(public, numbers(heads, errors))))


def summed(given: Sequence[Figures], public: bytes) -> FigureSum:
    """Adds what silos sent, unread.

    Args:
        given: Their signatures were checked.
        public: The public half.

    Raises:
        Refused: `too_few_silos`, `second_figures` (of one silo), `mixed_figures` (not all of one
            release and its heads), `wrong_key`, or a code of `homomorphic.add`.
        Stop: TenSEAL is not installed.
    """
    silos = sorted(one.silo for one in given)
    if len(set(silos)) != len(silos):
        raise Refused("second_figures", "A silo's figures are there twice; take one file of each.")
    if len(silos) < LEAST_SILOS:
        raise Refused("too_few_silos", f"A sum of fewer than {LEAST_SILOS} silos hides nobody.")
    if any(one.key_sha256 != key_id(public) for one in given):
        raise Refused("wrong_key", "A file was encrypted with another key.")
    first = given[0]
    about = (first.consortium, first.release_id, first.weights_sha256, first.heads)
    if any((o.consortium, o.release_id, o.weights_sha256, o.heads) != about for o in given):
        raise Refused("mixed_figures", "The files are not all of one release and its heads.")
    total = add(public, [[_unb64(piece) for piece in one.pieces] for one in given])
    return FigureSum(
        consortium=first.consortium,
        release_id=first.release_id,
        weights_sha256=first.weights_sha256,
        heads=first.heads,
        key_sha256=first.key_sha256,
        silos=tuple(silos),
        pieces=tuple(map(_b64, total)),
    )


def opened(total: FigureSum, key: SumKey) -> dict[str, Mean]:
    """Opens a sum: by head, in its order.

    Raises:
        Refused: `too_few_silos`, `wrong_key` (what opens is no sum of these silos), or a code of
            `SumKey.open`.
        Stop: TenSEAL is not installed.
    """
    if len(set(total.silos)) < LEAST_SILOS:
        raise Refused("too_few_silos", f"A sum of fewer than {LEAST_SILOS} silos is not opened.")
    pieces = [_unb64(piece) for piece in total.pieces]
    found = key.open(pieces, _PER_HEAD * len(total.heads)).reshape(-1, _PER_HEAD)
    judged = found[:, 0]
    # Under another key a ciphertext opens to noise; the counts must be counts.
    if np.abs(judged - judged.round().clip(0, len(total.silos))).max(initial=0.0) > _COUNT_ERROR:
        raise Refused("wrong_key", "This key does not open the sum.")
    return {head: _mean(*row) for head, row in zip(total.heads, found.tolist(), strict=True)}


def _mean(judged: float, change: float) -> Mean:
    silos = round(judged)
    return Mean(silos, change / silos if silos >= LEAST_SILOS else None)


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("bad_ciphertext", "A ciphertext is not valid base64.") from error
