"""An ensemble as one file of tensors: what a silo keeps of its personal model.

`member.N.NAME` is the tensor NAME of member N, counted from 0 (names as on the wire, see
`agent.wire.network`); `shares` is float32 (members, tasks). A file without `shares` is of an older
release: one network, its tensors under their own names.
"""

from collections.abc import Sequence

import numpy as np

from agent.errors import Refused
from agent.learning.ensemble import Ensemble, Member
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.network import expected_shapes
from agent.wire.update import Weights, check_tensors, decode_some, encode

_SHARES = "shares"
_MOST = 64  # members; the shares are read before anything else is checked


def encode_members(ensemble: Ensemble) -> bytes:
    """Writes all members and their shares.

    Raises:
        ValueError: As `Ensemble.check_sees_all`.
    """
    ensemble.check_sees_all()
    tensors: Weights = {_SHARES: ensemble.shares}
    for number, member in enumerate(ensemble.members):
        tensors |= {_named(number, name): value for name, value in member.weights.items()}
    return encode(tensors)


def decode_members(
    content: bytes, network: NetworkSpec, features: FeatureSpec, heads: Sequence[str]
) -> Ensemble:
    """Reads what `encode_members` wrote, or the single network of an older release.

    Args:
        content: The file.
        network: The plan's; every member has its shape.
        features: What it reads.
        heads: Every member's, in the order of the shares' columns.

    Raises:
        Refused: `bad_tensors`, `wrong_tensors` or `not_finite`.
    """
    network = network.single()
    tensors, shapes = decode_some(content), expected_shapes(network, features, heads)
    if _SHARES not in tensors:
        check_tensors(tensors, shapes)
        return Ensemble.of_one(tensors, network, len(heads))
    shares = tensors[_SHARES]
    if shares.ndim != 2 or shares.shape[0] > _MOST:
        raise Refused("wrong_tensors", "The shares of the members are no table of a sane size.")
    numbers = range(len(shares))
    expected = {_named(n, name): shape for n in numbers for name, shape in shapes.items()}
    check_tensors(tensors, {**expected, _SHARES: (len(shares), len(heads))})
    members = [
        Member(network, {name: tensors[_named(number, name)] for name in shapes})
        for number in numbers
    ]
    return Ensemble(tuple(members), np.asarray(shares))


def _named(member: int, name: str) -> str:
    return f"member.{member}.{name}"
