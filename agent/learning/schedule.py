"""When which learning rate holds, and which rows come when."""

import math

import numpy as np
import numpy.typing as npt

from agent.learning.settings import Settings

_START_FRACTION = 1 / 25  # of the peak learning rate; OneCycleLR's default
_END_FRACTION = 1 / 250


def learning_rate(settings: Settings, done: float) -> float:
    """Returns the rate at a point of this call: a linear rise to the peak, then half a cosine.

    Args:
        settings: With the peak, the rising part and the window in the whole schedule.
        done: 0 at the start of this call, 1 at its end.
    """
    first, last = settings.window
    place = first + done * (last - first)
    if place < settings.warm_up:
        shape = _START_FRACTION + (1 - _START_FRACTION) * place / settings.warm_up
    else:
        fallen = (place - settings.warm_up) / max(1 - settings.warm_up, 1e-9)
        shape = _END_FRACTION + (1 - _END_FRACTION) * (1 + math.cos(math.pi * fallen)) / 2
    return settings.learning_rate * shape


def batches_of(
    rows: npt.NDArray[np.int64], settings: Settings, epoch: int
) -> list[npt.NDArray[np.int64]]:
    """Returns one epoch's batches of rows, sizes as even as can be.

    The order follows from the seed and the epoch alone, so that a training that goes on after a
    kill needs no memory of the epochs before.
    """
    order = np.random.default_rng((settings.seed, epoch)).permutation(rows)
    return np.array_split(order, math.ceil(len(rows) / settings.batch_size))


def dropout_seed(settings: Settings, rank: int, epoch: int, step: int) -> int:
    """Returns the seed of one step's dropout: nothing of it need be kept between steps."""
    seeds = np.random.SeedSequence((settings.seed, rank, epoch, step))
    return int(seeds.generate_state(1, np.uint64)[0])
