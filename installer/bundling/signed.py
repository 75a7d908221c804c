"""A bundle of somebody's, believed only once its signature and every hash are right."""

import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from installer.bundling import manifest
from installer.bundling.wheels import NotBuilt

_WHEEL = ".whl"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was checked.

    Attributes:
        path: Where it lies.
        facts: What its manifest says of it.
        epoch_s: The time that all of its entries bear, seconds since 1970.
        texts: Every file that is no wheel, by its name there.
        unpacked: Bytes of all that its wheels hold.
    """

    path: Path
    facts: dict[str, str]
    epoch_s: int
    texts: dict[str, bytes]
    unpacked: int


def read(path: Path, key: Path) -> Bundle:
    """Checks a bundle as `install.sh` does, and reads it.

    Args:
        path: The bundle.
        key: The public key (PEM) of whoever signs bundles.

    Raises:
        NotBuilt: It is no bundle, is damaged, or was signed by another key.
    """
    try:
        with tarfile.open(path) as archived:
            return _read(path, archived, key)
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise NotBuilt(f"{path} is no bundle of Onggi, or it is damaged; copy it again.") from error


def _read(path: Path, archived: tarfile.TarFile, key: Path) -> Bundle:
    entries = {entry.name: entry for entry in archived.getmembers()}
    if len(entries) != len(archived.getmembers()):
        raise NotBuilt(f"{path} holds two files of one name; do not use it.")
    if not {manifest.NAME, manifest.SIGNATURE} <= entries.keys():
        raise NotBuilt(f"{path} is no bundle of Onggi.")
    epoch_s = int(entries[manifest.NAME].mtime)
    content, signature = (
        _open(archived, entries.pop(name)).read() for name in (manifest.NAME, manifest.SIGNATURE)
    )
    manifest.verify(content, signature, key)
    listed = manifest.hashes_of(content)
    if differing := listed.keys() ^ entries.keys():
        raise NotBuilt(f"{path} and its manifest differ about {min(differing)}; do not use it.")
    texts, unpacked = {}, 0
    for name, entry in entries.items():
        with _open(archived, entry) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != listed[name]:
                raise NotBuilt(f"{name} is not what the manifest says; copy {path} again.")
            file.seek(0)
            if name.endswith(_WHEEL):
                unpacked += _unpacked(file)
            else:
                texts[name] = file.read()
    return Bundle(path, manifest.facts_of(content), epoch_s, texts, unpacked)


def _open(archived: tarfile.TarFile, entry: tarfile.TarInfo) -> io.BufferedReader:
    opened = archived.extractfile(entry) if entry.isfile() else None
    if not isinstance(opened, io.BufferedReader):
        raise NotBuilt(f"The bundle holds {entry.name}, which is no file.")
    return opened


def _unpacked(wheel: io.BufferedReader) -> int:
    with zipfile.ZipFile(wheel) as held:
        return sum(entry.file_size for entry in held.infolist())
