"""What the worker's engine sees of the host, tried in a process of its own: it may crash."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.doctor.finding import Finding, failed, not_here, ok

_TRY = "import agent, json; from agent.learning import engine; print(json.dumps(engine.describe()))"
_TRY_S = 180
# What torch calls them, best first, and the processor's own word for it.
_SETS = (("AVX512", "avx512f"), ("AVX2", "avx2"))


def findings(device: str, threads: int) -> list[Finding]:
    """Tries torch: threads, instruction sets, a convolution, the GPU.

    Args:
        device: `training.device` of the configuration.
        threads: `training.threads`; 0 for every core.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY], capture_output=True, timeout=_TRY_S, check=False
        )
        seen = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return [failed("engine", "torch did not answer in time; look at the load of the host.")]
    if seen is None:
        if b"No module named 'torch'" in done.stderr:
            return [
                not_here("engine", "torch is not installed: this host predicts and does not train.")
            ]
        return [
            failed(
                "engine",
                f"torch failed (exit {done.returncode}); the unit must not have "
                "MemoryDenyWriteExecute=yes, and torch must be built for this processor.",
            )
        ]
    cores = len(os.sched_getaffinity(0))
    return judge(seen, device, min(threads or cores, cores), _flags())


def judge(seen: dict[str, Any], device: str, threads: int, flags: set[str]) -> list[Finding]:
    """Judges what torch saw.

    Args:
        seen: As `agent.learning.engine.describe` returned it.
        device: `training.device`.
        threads: How many it should have.
        flags: The processor's instruction sets by the kernel's words.
    """
    return [
        _threads(int(seen["threads"]), threads),
        _instructions(str(seen["capability"]), flags),
        _gpu(str(seen["gpu"]), device),
    ]


def _threads(has: int, wanted: int) -> Finding:
    said = f"A convolution works; torch uses {has} threads, {wanted} are allowed."
    if has >= min(wanted, 2):
        return ok("engine", said)
    return failed("engine", f"{said} The unit must have SystemCallFilter=sched_setaffinity.")


def _instructions(capability: str, flags: set[str]) -> Finding:
    best = next((name for name, flag in _SETS if flag in flags), "")
    if best and best not in capability:
        return failed(
            "instructions",
            f"torch uses {capability}, the processor has {best}; the unit must not have "
            "ProcSubset=pid.",
        )
    return ok("instructions", f"torch uses {capability}.")


def _gpu(gpu: str, device: str) -> Finding:
    if gpu:
        return ok("gpu", f"torch sees {gpu}.")
    if device == "cuda":
        return failed(
            "gpu",
            "training.device is cuda, and torch sees none; install its CUDA build and the drop-in "
            "of docs/operations.md (PrivateDevices=no, DeviceAllow=), or set device to auto.",
        )
    return not_here("gpu", "torch sees no GPU and trains on the processor.")


def _flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {word for line in lines if line.startswith("flags") for word in line.split()}
