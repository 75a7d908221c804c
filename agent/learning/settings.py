"""How to train, in numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.learning.batches import DeviceChoice

Progress = Callable[[int, int, float], None]
"""Called after every epoch with (epochs done, epochs in all, mean loss)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Attributes:
        epochs: Passes over the labelled rows.
        batch_size: Rows a step.
        learning_rate: The schedule's peak.
        weight_decay: AdamW's, on matrices only.
        seed: Of the order of rows and of dropout.
        warm_up: The part of the whole schedule in which the rate rises, 0 .. 1.
        window: Where this call lies in the whole schedule: (0, 1) for a run of its own; round r of
            R takes ((r - 1) / R, r / R).
        train_only: Prefixes of the tensors that may change; empty means all.
        threads: CPU threads of torch, for the whole process; 0 leaves them as they are.
        device: `auto` takes CUDA where there is one.
        deterministic: Equal arguments give equal bits on one machine and device: torch's
            deterministic algorithms, float32, and one thread where `threads` names no number. A
            CPU gives equal bits without it, too, as long as the number of threads is the same; on
            CUDA the default is bfloat16 and TF32.
        proximal: mu of FedProx (Li et al. 2020, arXiv:1812.06127): adds mu / 2 * |w - w0|^2 over
            the trunk to the loss, w0 being the weights at the start.
        noise: By task, the standard deviation of repeated measurements on the transformed scale,
            0 where it is not known: a task whose labels are mostly noise weighs less. Empty weighs
            by number of labels alone.
        patience: Epochs without a better loss on the validation labels after which training
            stops; 0 never stops early. Only with validation labels.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    seed: int = 0
    warm_up: float = 0.3
    window: tuple[float, float] = (0.0, 1.0)
    train_only: tuple[str, ...] = ()
    threads: int = 0
    device: DeviceChoice = "auto"
    deterministic: bool = False
    proximal: float = 0.0
    noise: tuple[float, ...] = ()
    patience: int = 0
