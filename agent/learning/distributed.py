"""One training over several processes, each with its own device: torch's own engine does it.

Start them with `torchrun`, which tells each its rank and their number, or by hand; each calls
`fit_on` with the same arguments and its own `Team`. Every batch is dealt out among them, so the
weights are those that one process would have made, rounding and dropout aside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class Team:
    """Which of how many processes this one is.

    Attributes:
        rank: From 0; the first one writes checkpoints.
        size: The number of processes.
    """

    rank: int = 0
    size: int = 1

    def own(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns this process's rows of a batch."""
        return rows[self.rank :: self.size]

    def wrap(self, model: nn.Module) -> nn.Module:
        """Returns the module whose backward pass averages the gradients of all processes."""
        return model if self.size == 1 else DistributedDataParallel(model)

    def mean(self, mine: torch.Tensor) -> torch.Tensor:
        """Returns the mean of all processes' scalars."""
        if self.size == 1:
            return mine
        total = mine.clone()
        torch.distributed.all_reduce(total)
        return total / self.size


ALONE = Team()


@contextmanager
def joined(rank: int, size: int, init_method: str, backend: str = "gloo") -> Iterator[Team]:
    """Joins the processes of one training, and parts from them afterwards.

    Args:
        rank: This process's, from 0.
        size: How many there are: WORLD_SIZE.
        init_method: Where they meet: `tcp://HOST:PORT` of the first, `file://PATH`, or `env://`
            under torchrun.
        backend: `gloo` for CPUs, `cpu:gloo,cuda:nccl` for one GPU each.
    """
    torch.distributed.init_process_group(backend, init_method, rank=rank, world_size=size)
    try:
        yield Team(rank, size)
    finally:
        torch.distributed.destroy_process_group()
