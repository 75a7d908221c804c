"""How torch computes while it trains; everything is put back afterwards."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from agent.learning.settings import Settings


@contextmanager
def computing(settings: Settings, device: torch.device) -> Iterator[None]:
    """Sets threads, precision and determinism for a training.

    The number of threads stays as it was set: torch's own advice is to set it once.
    """
    if threads := settings.threads or int(settings.deterministic):
        torch.set_num_threads(threads)
    precision, deterministic = (
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
    )
    # Moments of columns that are seldom set fade into denormal numbers, on which a CPU is slow.
    torch.set_flush_denormal(True)
    try:
        torch.use_deterministic_algorithms(settings.deterministic)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("highest" if settings.deterministic else "high")
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(deterministic)
        torch.set_float32_matmul_precision(precision)


def narrow_products(settings: Settings, device: torch.device) -> AbstractContextManager[object]:
    """Returns the context of a forward pass: bfloat16 products on CUDA, float32 elsewhere."""
    if device.type == "cuda" and not settings.deterministic:
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
