"""What a support bundle may hold: an allow-list of facts, and never data.

Every value is a number, a truth, a version, or a word of this program's own. Names of stores,
files, hosts and silos, paths, sentences and keys stay here: what is not named below is left out.
"""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_origin

from pydantic import BaseModel

from agent import __version__
from agent.clock import to_text
from agent.config import Config, Paths
from agent.doctor.services import SERVICES
from agent.records import Json

_PACKAGES = ("numpy", "onnxruntime", "polars", "pynacl", "rdkit", "torch", "tuf", "uvicorn")
_PROPERTIES = ("ActiveState", "SubState", "Result", "NRestarts", "ExecMainStatus", "MemoryCurrent")
# Of a log line: when, how grave, where in the program, and the event's own name. No field.
_LOG_KEYS = ("t", "level", "from", "event", "error")
_LOG_LINES = 1000


def gather(config: Config, now: datetime) -> dict[str, Json]:
    """Gathers the facts.

    Returns:
        `made`, `versions`, `host`, `configuration`, `figures`, `services`, `log`.
    """
    paths = Paths(config.site.state)
    prom = (paths.status / "metrics" / "keeper.prom", paths.courier / "metrics" / "courier.prom")
    return {
        "made": to_text(now),
        "versions": _versions(),
        "host": _host(paths.state),
        "configuration": settings(config),
        "figures": [line for path in prom for line in _samples(path)],
        "services": {name: _service(f"onggi-{name}.service") for name in SERVICES[:-1]},
        "log": list(log_lines(_journal())),
    }


def settings(section: BaseModel) -> dict[str, Json]:
    """Returns the numbers, truths and fixed words of a configuration; how many of what repeats."""
    found: dict[str, Json] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        fixed = "Literal" in str(field.annotation) and get_origin(field.annotation) is not None
        if isinstance(value, BaseModel):
            found[name] = settings(value)
        elif isinstance(value, tuple):
            found[name] = len(value)
        elif isinstance(value, bool | int | float) or (fixed and isinstance(value, str)):
            found[name] = value
    return found


def log_lines(lines: Iterable[str]) -> Iterable[Json]:
    """Keeps of each log line what says where the program was; what is no such line is left out."""
    for line in lines:
        try:
            read = json.loads(line)
        except ValueError:
            continue
        if isinstance(read, dict) and "event" in read:
            yield {key: str(read[key]) for key in _LOG_KEYS if key in read}


def _versions() -> dict[str, Json]:
    found: dict[str, Json] = {"onggi": __version__, "python": platform.python_version()}
    found["kernel"] = platform.release()
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _host(state: Path) -> dict[str, Json]:
    usage = shutil.disk_usage(state)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cores": os.cpu_count(), "memory": memory, "disk": usage.total, "free": usage.free}


def _samples(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.startswith("onggi_")]


def _service(unit: str) -> dict[str, Json]:
    lines = _output("systemctl", "show", unit, f"--property={','.join(_PROPERTIES)}")
    return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}


def _journal() -> list[str]:
    wanted = ("--unit=onggi-*", "--output=cat", "--no-pager", f"--lines={_LOG_LINES}")
    return _output("journalctl", *wanted)


def _output(program: str, *arguments: str) -> list[str]:
    found = shutil.which(program)
    if found is None:
        return []
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []
