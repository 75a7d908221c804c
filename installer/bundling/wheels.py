"""Wheels for a host that is not this one, each pinned by hash."""

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

# RHEL 8 has glibc 2.28: nothing newer loads there (PEP 600, PEP 599, PEP 571, PEP 513).
_GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
_OLD_NAMES = ("manylinux2014", "manylinux2010", "manylinux1")


class NotBuilt(Exception):
    """A bundle cannot be built; its sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a bundle is for.

    Attributes:
        python: Such as `3.11`.
        machine: Such as `x86_64`.
    """

    python: str
    machine: str = "x86_64"

    @property
    def abi(self) -> str:
        """The ABI's tag, such as `cp311`."""
        return "cp" + self.python.replace(".", "")

    def pip_options(self) -> list[str]:
        """Returns what makes pip choose wheels that load there."""
        platforms = [f"manylinux_{glibc}_{self.machine}" for glibc in _GLIBC]
        platforms += [f"{name}_{self.machine}" for name in _OLD_NAMES]
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}"]
        options += [f"--abi={abi}" for abi in (self.abi, "abi3", "none")]
        return options + [f"--platform={name}" for name in platforms]


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel of a bundle."""

    path: Path
    name: str
    version: str
    licence: str
    sha256: str


def fetch(target: Target, folder: Path, arguments: Sequence[str]) -> None:
    """Downloads wheels into a folder.

    Raises:
        NotBuilt: pip could not; what it said is in the sentence.
    """
    _pip(["download", *target.pip_options(), "--dest", str(folder), *arguments])


def own(source: Path, folder: Path, epoch_s: int) -> None:
    """Builds Onggi's own wheel; every file in it bears the given time.

    Raises:
        NotBuilt: It cannot be built; what pip said is in the sentence.
    """
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    _pip(["wheel", *options, str(source)], ["env", f"SOURCE_DATE_EPOCH={epoch_s}"])


def _pip(arguments: Sequence[str], prefix: Sequence[str] = ()) -> None:
    command = [*prefix, sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotBuilt(f"pip {arguments[0]} failed:\n{done.stderr.strip()[-2000:]}")


def read(path: Path) -> Wheel:
    """Reads a wheel's name, version, licence and hash.

    Raises:
        NotBuilt: It is no wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (metadata,) = (
                name
                for name in archive.namelist()
                if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
            )
            head = HeaderParser().parsestr(archive.read(metadata).decode())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise NotBuilt(f"{path.name} is no wheel; remove it and build again.") from error
    return Wheel(path, str(head["Name"]), str(head["Version"]), _licence(head), sha256_of(path))


def sha256_of(path: Path) -> str:
    """Returns a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _licence(head: Message) -> str:
    if expression := head["License-Expression"]:
        return str(expression)
    classified = [
        str(one).rsplit(" :: ", 1)[-1]
        for one in head.get_all("Classifier", [])
        if str(one).startswith("License ::")
    ]
    # The old free field often holds the whole text.
    return "; ".join(classified) or str(head["License"] or "not said").splitlines()[0][:80]


def without(lock: str, names: frozenset[str]) -> str:
    """Returns a lock file's text without some packages, hashes and all."""
    kept, skipping = [], False
    for line in lock.splitlines():
        if line and not line[0].isspace():
            skipping = re.split(r"[=\s;\[]", line, maxsplit=1)[0] in names
        if not skipping:
            kept.append(line)
    return "\n".join(kept) + "\n"
