"""What torch sees of this host."""

import torch


def describe() -> dict[str, str | int]:
    """Does a convolution and returns what torch computes with.

    Returns:
        `version`, `threads`, `capability` (the instruction sets that its kernels use) and `gpu`,
        a name or empty.

    Raises:
        RuntimeError: It cannot compute here.
    """
    layer = torch.nn.Conv1d(4, 8, 3)
    layer(torch.ones(2, 4, 64)).sum().backward()
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "",
    }
