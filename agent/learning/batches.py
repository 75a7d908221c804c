"""Feature rows as tensors on the device where the network is."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from agent.errors import Stop
from agent.learning.tasks import Rows

DeviceChoice = Literal["auto", "cpu", "cuda"]
_Input = TypeVar("_Input")
_Output = TypeVar("_Output")
_AHEAD = 4  # batches that are made while the device computes


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """Rows of a sparse matrix as torch's embedding bag wants them.

    Attributes:
        offsets: int64 (n,); where each row's entries start.
        indices: int64 (nnz,); the columns.
        values: float32 (nnz,).
    """

    offsets: torch.Tensor
    indices: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Feature rows.

    Attributes:
        counts: Their hashed counts.
        dense: float32 (n, d).
        turned: For training, the same counts by column: what the gradient sums over.
    """

    counts: Bags
    dense: torch.Tensor
    turned: Bags | None = None


def to_batch(rows: Rows, device: torch.device, hash_size: int = 0) -> Batch:
    """Moves feature rows to a device.

    Args:
        rows: What to move.
        device: Where to.
        hash_size: The number of columns of the counts, for training; 0 for predicting.
    """
    counts = _bags(rows.indptr[:-1], rows.indices.astype(np.int64), rows.values, device)
    turned = _turned(rows, hash_size, device) if hash_size else None
    return Batch(counts, to_device(rows.dense, device), turned)


def _turned(rows: Rows, hash_size: int, device: torch.device) -> Bags:
    # Sorting 16-bit numbers takes numpy's radix sort, several times as fast as any other.
    narrow = np.int16 if hash_size <= np.iinfo(np.int16).max else np.int32
    order = np.argsort(rows.indices.astype(narrow), kind="stable")
    starts = np.zeros(hash_size, np.int64)
    np.cumsum(np.bincount(rows.indices, minlength=hash_size)[:-1], out=starts[1:])
    numbers = np.repeat(np.arange(len(rows)), np.diff(rows.indptr))
    return _bags(starts, numbers[order], rows.values[order], device)


def _bags(
    offsets: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    values: npt.NDArray[np.float32],
    device: torch.device,
) -> Bags:
    return Bags(*(to_device(part, device) for part in (offsets, indices, values)))


def to_device(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """Copies an array to a device; to CUDA from pinned memory, without waiting for it."""
    tensor = torch.from_numpy(array)
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def made_ahead(
    make: Callable[[_Input], _Output], inputs: Sequence[_Input], device: torch.device
) -> Iterator[_Output]:
    """Yields `make(input)` for each input, in order.

    Where another device computes, a thread makes the next few meanwhile; a CPU has nothing to
    gain, since it is one and the same that would wait.
    """
    if device.type == "cpu":
        yield from map(make, inputs)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting = [thread.submit(make, each) for each in inputs[:_AHEAD]]
        for later in range(len(inputs)):
            made = waiting.pop(0).result()
            if later + _AHEAD < len(inputs):
                waiting.append(thread.submit(make, inputs[later + _AHEAD]))
            yield made


def pick_device(choice: DeviceChoice) -> torch.device:
    """Returns the device to compute on; `auto` takes CUDA where torch finds it.

    Raises:
        Stop: `cuda` is asked for and there is none.
    """
    found = torch.cuda.is_available()
    if choice == "cuda" and not found:
        raise Stop("Torch finds no CUDA device; set the device to auto, or install a CUDA build.")
    return torch.device("cuda" if found and choice != "cpu" else "cpu")
