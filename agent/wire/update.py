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

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]
Shapes = Mapping[str, tuple[int, ...]]

MAX_WEIGHT = 1e6
_DELTA, _WEIGHT = "delta/", "weight/"


def group_of(tensor: str) -> str:
    """Returns the group whose contributors count together: `trunk`, or one head."""
    return "trunk" if tensor.startswith("trunk.") else tensor.rpartition(".")[0]


def encode(weights: Mapping[str, Array]) -> bytes:
    """Writes tensors as safetensors, in name order, so that equal weights give equal bytes."""
    ordered = {name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}
    content: bytes = save(ordered)
    return content


def decode(content: bytes, shapes: Shapes) -> Weights:
    """Reads tensors and checks each against the shape that the network spec demands.

    Raises:
        Refused: `bad_tensors`, `wrong_tensors` (names or shapes) or `not_finite`.
    """
    return _checked(_load(content), shapes)


def _load(content: bytes) -> Weights:
    try:
        tensors: Weights = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Refused("bad_tensors", "The weights are not a valid safetensors file.") from error
    return tensors


def _checked(tensors: Weights, shapes: Shapes) -> Weights:
    if tensors.keys() != shapes.keys():
        strange = sorted(tensors.keys() ^ shapes.keys())[:3]
        raise Refused("wrong_tensors", f"Tensors missing or not asked for: {', '.join(strange)}.")
    for name, tensor in tensors.items():
        _check(name, tensor, shapes[name])
    return tensors


def _check(name: str, tensor: Array, shape: tuple[int, ...]) -> None:
    if tensor.dtype != np.float32 or tensor.shape != shape:
        raise Refused(
            "wrong_tensors", f"{name} is {tensor.dtype}{tensor.shape}, not float32{shape}."
        )
    if not np.isfinite(tensor).all():
        raise Refused("not_finite", f"{name} contains NaN or infinity.")


def pack(delta: Weights, weight: Mapping[str, float]) -> bytes:
    """Writes an update: w * delta for each tensor whose group has a weight, and the weights."""
    tensors = {
        _DELTA + name: np.asarray(tensor * weight[group_of(name)], dtype=np.float32)
        for name, tensor in delta.items()
        if group_of(name) in weight
    }
    for group, value in weight.items():
        tensors[_WEIGHT + group] = np.asarray([value], dtype=np.float32)
    return encode(tensors)


def unpack(content: bytes, shapes: Shapes) -> tuple[Weights, dict[str, float]]:
    """Reads an update; groups may be missing as a whole, but never in part.

    Args:
        content: What `pack` wrote.
        shapes: Every shared tensor and its shape.

    Returns:
        The products w * delta by tensor name, and w by group.

    Raises:
        Refused: as `decode`, or `bad_weight`.
    """
    loaded = _load(content)
    given = {group_of(name) for name in shapes if _WEIGHT + group_of(name) in loaded}
    expected = {_DELTA + name: shape for name, shape in shapes.items() if group_of(name) in given}
    expected |= {_WEIGHT + group: (1,) for group in given}
    tensors = _checked(loaded, expected)
    weight = {group: float(tensors[_WEIGHT + group][0]) for group in given}
    for group, value in weight.items():
        if not 0 < value <= MAX_WEIGHT:
            raise Refused("bad_weight", f"The weight of {group} is outside (0, {MAX_WEIGHT:g}].")
    return {name: tensors[_DELTA + name] for name in shapes if group_of(name) in given}, weight
