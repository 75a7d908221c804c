"""The peers' own virtual environment, made by the benchmark, and runs in it."""

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

PACKAGES = ("scikit-fingerprints", "datamol", "pandas", "rdkit")
_WORK = Path(__file__).parent / "peer_work.py"
_IMPORTS = "import datamol, pandas, skfp"


class NoPeers(Exception):
    """The peers cannot be installed or run; the text says why."""


def make(folder: Path, packages: Sequence[str] = PACKAGES, imports: str = _IMPORTS) -> Path:
    """Makes the environment, or keeps one that works.

    Args:
        folder: Where it is.
        packages: What it holds.
        imports: A statement that works once it does.

    Returns:
        Its Python.

    Raises:
        NoPeers: The packages cannot be installed.
    """
    python = folder / "bin" / "python"
    if python.exists() and _run([str(python), "-c", imports]).returncode == 0:
        return python
    venv.create(folder, with_pip=True, clear=True)
    done = _run([str(python), "-m", "pip", "install", "--quiet", *packages])
    if done.returncode:
        raise NoPeers("the peers' packages could not be installed")
    return python


def versions(python: Path, packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Returns the release of each package."""
    code = "import sys\nfrom importlib.metadata import version\nprint(*map(version, sys.argv[1:]))"
    said = _run([str(python), "-c", code, *packages]).stdout.split()
    return dict(zip(packages, said, strict=False))


def seconds(python: Path, kind: str, path: Path, number: int, work: Path = _WORK) -> float:
    """Times one kind of a peer's work.

    Args:
        python: Of the peers' environment.
        kind: What to do.
        path: With what.
        number: What the work takes besides, such as the number of cores.
        work: The program, which imports nothing of this repository.

    Raises:
        NoPeers: It failed.
    """
    done = _run([str(python), str(work), kind, str(path), str(number)])
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        raise NoPeers(f"{kind} failed")
    return float(done.stdout.split()[-1])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)
