"""onnxruntime's telemetry must leave neither files nor sockets (docs/architecture.md)."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from agent.doctor.finding import Finding, failed, not_here, ok

# A fresh process: what was loaded here already would hide what loading does.
_LOAD = """
import agent, os, onnxruntime
onnxruntime.get_available_providers()
for number in os.listdir("/proc/self/fd"):
    try:
        print(os.readlink(f"/proc/self/fd/{number}"))
    except OSError:
        pass
"""
_LOAD_S = 60


def no_telemetry(homes: Iterable[Path]) -> Finding:
    """Loads onnxruntime in a process of its own; no file and no socket may appear.

    Args:
        homes: Where it would leave its device id, below `.cache`.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOAD],
            capture_output=True,
            text=True,
            check=True,
            timeout=_LOAD_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return not_here("telemetry", "onnxruntime does not load in this process.")
    found = [path for home in homes for path in _traces(home)]
    if found or "socket:" in done.stdout:
        what = ", ".join(map(str, found)) or "a socket"
        return failed(
            "telemetry",
            f"onnxruntime left {what}; remove it, and see that nothing but Onggi's own programs "
            "starts it: they set ORT_DISABLE_TELEMETRY=1.",
        )
    return ok("telemetry", "onnxruntime left no file and opened no socket.")


def _traces(home: Path) -> list[Path]:
    path = home / ".cache" / "Microsoft"
    try:
        return [path] if path.exists() else []
    except OSError:  # a home that this service may not even see
        return []
