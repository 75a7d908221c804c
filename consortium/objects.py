"""Blobs by content hash: durable before anything names them."""

import re
from pathlib import Path

from agent.errors import Refused
from agent.files import sha256_bytes, write_atomic
from agent.wire.documents import ObjectRef

_HASH = re.compile(r"[0-9a-f]{64}")


def put_object(folder: Path, content: bytes) -> ObjectRef:
    """Writes an object durably; writing it again changes nothing.

    Raises:
        OSError: The disk is full or the folder is not writable.
    """
    sha256 = sha256_bytes(content)
    path = folder / sha256
    if not path.exists():
        write_atomic(path, content)
    return ObjectRef(sha256=sha256, bytes=len(content))


def get_object(folder: Path, sha256: str) -> bytes:
    """Reads an object and checks its hash.

    Raises:
        Refused: `unknown_object`, or `damaged_object` when the disk lies.
    """
    content = object_path(folder, sha256).read_bytes()
    if sha256_bytes(content) != sha256:
        raise Refused("damaged_object", f"The object {sha256} is damaged; restore it from backup.")
    return content


def object_path(folder: Path, sha256: str) -> Path:
    """Returns where an object is.

    Raises:
        Refused: `unknown_object`.
    """
    path = folder / sha256
    if not _HASH.fullmatch(sha256) or not path.is_file():
        raise Refused("unknown_object", "The repository holds no object of that hash.")
    return path
