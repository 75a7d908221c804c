"""Weights and updates as safetensors; nothing from elsewhere is ever unpickled.

An update carries, per group of tensors, the weight w and the products w * delta: so a receiver
needs sums only, which is what secure aggregation will give it.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from agent.errors import Refused
from agent.wire.members import bare, prefix_in
from agent.wire.tensors import views, written

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]
Shapes = Mapping[str, tuple[int, ...]]

DEFAULT_CAP = 1000.0  # as `Recipe.weight_cap`
_DELTA, _WEIGHT = "delta/", "weight/"


def group_of(tensor: str) -> str:
    """Returns the group whose contributors count together: `trunk`, or one head, of a member."""
    name = bare(tensor)
    group = "trunk" if name.startswith("trunk.") else name.rpartition(".")[0]
    return prefix_in(tensor) + group


def encode(weights: Mapping[str, Array]) -> bytes:
    """Writes tensors as safetensors, in name order, so that equal weights give equal bytes."""
    if all(tensor.dtype == np.float32 for tensor in weights.values()):
        return written(weights)
    ordered = {name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}
    content: bytes = save(ordered)
    return content


def decode(content: bytes, shapes: Shapes) -> Weights:
    """Reads tensors and checks each against the shape that the network spec demands.

    Raises:
        Refused: `bad_tensors`, `wrong_tensors` (names or shapes) or `not_finite`.
    """
    tensors = decode_some(content)
    check_tensors(tensors, shapes)
    return tensors


def decode_some(content: bytes) -> Weights:
    """Reads tensors whose names tell what to expect; the caller checks them.

    Raises:
        Refused: `bad_tensors`.
    """
    try:
        tensors: Weights = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Refused("bad_tensors", "The weights are not a valid safetensors file.") from error
    return tensors


def check_tensors(tensors: Mapping[str, Array], shapes: Shapes) -> None:
    """Checks that the tensors are exactly those asked for, in float32, and finite.

    Raises:
        Refused: `wrong_tensors` (names, types or shapes) or `not_finite`.
    """
    if odd := sorted(shapes.keys() ^ tensors.keys()):
        what = "lack" if odd[0] in shapes else "have an unknown"
        raise Refused("wrong_tensors", f"The weights {what} tensor {odd[0]!r}.")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.dtype != np.float32 or tensor.shape != shape:
            found = f"{tensor.dtype}{tensor.shape}"
            raise Refused("wrong_tensors", f"Tensor {name!r} is {found}, not float32{shape}.")
        if not bool(np.isfinite(tensor).all()):
            raise Refused("not_finite", f"Tensor {name!r} holds a number that is not finite.")


def pack(delta: Weights, weight: Mapping[str, float], cap: float = DEFAULT_CAP) -> bytes:
    """Writes an update: w * delta for each tensor whose group has a weight, and the weights.

    Args:
        delta: What training changed, by tensor.
        weight: How much this silo counts, by group.
        cap: The recipe's `weight_cap`; a weight above it is brought down to it.
    """
    capped = {group: min(value, cap) for group, value in weight.items()}
    tensors = {
        _DELTA + name: np.asarray(tensor * capped[group_of(name)], dtype=np.float32)
        for name, tensor in delta.items()
        if group_of(name) in capped
    }
    for group, value in capped.items():
        tensors[_WEIGHT + group] = np.asarray([value], dtype=np.float32)
    return encode(tensors)


def unpack(
    content: bytes, shapes: Shapes, cap: float = DEFAULT_CAP
) -> tuple[Weights, dict[str, float]]:
    """Reads an update; groups may be missing as a whole, but never in part.

    Args:
        content: What `pack` wrote.
        shapes: Every shared tensor and its shape.
        cap: The recipe's `weight_cap`: the most that a silo may count in a group.

    Returns:
        The products w * delta by tensor name, and w by group.

    Raises:
        Refused: as `decode`, or `bad_weight`.
    """
    tensors = views(content)
    given = {group_of(name) for name in shapes if _WEIGHT + group_of(name) in tensors}
    expected = {_DELTA + name: shape for name, shape in shapes.items() if group_of(name) in given}
    expected |= {_WEIGHT + group: (1,) for group in given}
    check_tensors(tensors, expected)
    weight = {group: float(tensors[_WEIGHT + group][0]) for group in given}
    highest = float(np.float32(cap))  # a weight at the cap went through float32, too
    for group, value in weight.items():
        if not 0 < value <= highest:
            raise Refused("bad_weight", f"The weight of {group} is outside (0, {cap:g}].")
    return {name: tensors[_DELTA + name] for name in shapes if group_of(name) in given}, weight
