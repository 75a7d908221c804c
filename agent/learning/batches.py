"""Feature rows as tensors on the device where the network is."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from agent.errors import Stop
from agent.learning.tasks import Rows

DeviceChoice = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows as torch's embedding bag wants them.

    Attributes:
        offsets: int64 (n,); where each row's counts start.
        indices: int64 (nnz,).
        values: float32 (nnz,).
        dense: float32 (n, d).
    """

    offsets: torch.Tensor
    indices: torch.Tensor
    values: torch.Tensor
    dense: torch.Tensor


def to_batch(rows: Rows, device: torch.device) -> Batch:
    """Moves feature rows to a device."""
    parts = (rows.indptr[:-1], rows.indices.astype(np.int64), rows.values, rows.dense)
    return Batch(*(torch.from_numpy(part).to(device) for part in parts))


def pick_device(choice: DeviceChoice) -> torch.device:
    """Returns the device to compute on; `auto` takes CUDA where torch finds it.

    Raises:
        Stop: `cuda` is asked for and there is none.
    """
    found = torch.cuda.is_available()
    if choice == "cuda" and not found:
        raise Stop("Torch finds no CUDA device; set the device to auto, or install a CUDA build.")
    return torch.device("cuda" if found and choice != "cpu" else "cpu")
