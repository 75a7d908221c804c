"""Runs the doctor inside each unit's own walls: a unit made of the unit itself, and run once.

`systemctl cat` gives a unit with all of its drop-ins, as systemd reads it. What follows it replaces
the program and nothing else, so that no wall can be forgotten or differ.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.doctor.finding import Finding, failed
from agent.errors import TryLater

_UNITS = Path("/run/systemd/system")
_ANSWERS = Path("/run/onggi-doctor")
_LIMIT_S = 300
# A socket is handed to one unit, and nothing of a service's life matters here.
_LEFT_OUT = ("Sockets=",)
_PROGRAM = """
# What follows is the doctor's.
[Unit]
ConditionPathExists=
[Service]
Type=oneshot
ExecStart=
ExecStart={command}
ExecReload=
Restart=no
WatchdogSec=0
TimeoutStartSec={limit}
StandardOutput=truncate:{answer}
"""


def derive(unit: str, command: str, answer: Path) -> str:
    """Returns a unit with the walls of another.

    Args:
        unit: As `systemctl cat` prints it.
        command: What to run within.
        answer: Where its standard output goes.
    """
    lines = [line for line in unit.splitlines() if not line.startswith(_LEFT_OUT)]
    return "\n".join(lines) + _PROGRAM.format(command=command, answer=answer, limit=_LIMIT_S)


def can_run() -> bool:
    """Tells whether systemd runs this host."""
    return _UNITS.parent.is_dir() and shutil.which("systemctl") is not None


def run(unit: str, arguments: str) -> list[Finding]:
    """Runs the doctor in a unit's walls and returns what it found there.

    Args:
        unit: E.g. `onggi-keeper` or `onggi-reader@lims`.
        arguments: After `onggi`, on the unit's own ExecStart.

    Returns:
        Its findings, or one failure that says why there are none.
    """
    try:
        shown = _systemctl("cat", f"{unit}.service")
        return _run(unit, shown, arguments)
    except TryLater as error:
        return [failed("sandbox", str(error))]


def _run(unit: str, shown: str, arguments: str) -> list[Finding]:
    program = next(
        (line.split("=", 1)[1].split()[0] for line in shown.splitlines() if _starts(line)), ""
    )
    name = unit.replace("onggi-", "onggi-doctor-", 1)
    _ANSWERS.mkdir(mode=0o700, exist_ok=True)
    answer = _ANSWERS / f"{name}.json"
    # A template's instance is asked under a template's name, or its %i would be empty.
    stem, at, _ = name.partition("@")
    with _unit(_UNITS / f"{stem}{at}.service", derive(shown, f"{program} {arguments}", answer)):
        # A doctor that finds something exits with 1, and its unit counts as failed.
        status = _call("start", f"{name}.service").returncode
        _call("reset-failed", f"{name}.service")
    return _read(answer, name, status)


def _starts(line: str) -> bool:
    return line.startswith("ExecStart=") and line != "ExecStart="


def _read(answer: Path, name: str, status: int) -> list[Finding]:
    try:
        services = json.loads(answer.read_bytes())["services"]
        (findings,) = services.values()
        return [Finding(**one) for one in findings]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"it gave no answer ({type(error).__name__}, systemctl said {status})"
        return [failed("sandbox", f"The doctor did not run: {why}; see journalctl -u {name}.")]
    finally:
        answer.unlink(missing_ok=True)


@contextmanager
def _unit(path: Path, content: str) -> Iterator[None]:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")
    try:
        _systemctl("daemon-reload")
        yield
    finally:
        path.unlink(missing_ok=True)
        _systemctl("daemon-reload")


def _call(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemctl") or "systemctl"
    command = [program, "--no-pager", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def _systemctl(*arguments: str) -> str:
    done = _call(*arguments)
    if done.returncode:
        raise TryLater(
            f"`systemctl {' '.join(arguments)}` failed; run `onggi doctor` as root, where the "
            "units are installed."
        )
    return done.stdout
