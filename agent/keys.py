"""Identity: one key, one purpose. Secrets never print.

A key is one line in a file: `onggi-key-v2 PURPOSE HEX MADE`. The first word is the format's
version; `onggi-key-v1 PURPOSE HEX`, which did not say when the key was made, is read for ever,
because an identity outlives the program that made it. `onggi-key-v3` is such a line, sealed with
the key of the key ring (`agent.key_ring`). Beside `sign.key`, `sign.next.key` is a key
that waits for the roster to name it.

PyNaCl's own classes show the raw key in an f-string, so they stay behind these wrappers.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from agent.errors import Refused, Stop
from agent.files import fsync_folder
from agent.hybrid_keys import HybridSealingIdentity as HybridSealingIdentity
from agent.hybrid_keys import PostQuantumIdentity as PostQuantumIdentity
from agent.hybrid_keys import load_hybrid as load_hybrid
from agent.hybrid_keys import load_post_quantum as load_post_quantum
from agent.hybrid_keys import new_hybrid as new_hybrid
from agent.hybrid_keys import new_post_quantum as new_post_quantum
from agent.key_file import Held as Held
from agent.key_file import Purpose as Purpose
from agent.key_file import Ring, Secret, load_held, rests_sealed
from agent.key_ring import NO_RINGS, Rings

if TYPE_CHECKING:
    from collections.abc import Callable

_RETIRED = "retired"


class SigningIdentity(Secret):
    """An Ed25519 key that signs for one purpose."""

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return bytes(SigningKey(self._raw).verify_key).hex()

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        return bytes(SigningKey(self._raw).sign(message).signature)


class SealingIdentity(Secret):
    """An X25519 key that opens what was sealed for it."""

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return bytes(PrivateKey(self._raw).public_key).hex()

    def unseal(self, sealed: bytes) -> bytes:
        """Opens a SealedBox.

        Raises:
            Refused: `not_for_us`.
        """
        opened = self._open(sealed)
        # Raised here, not where PyNaCl raises: the locals of its frames are the raw key.
        if opened is None:
            raise Refused("not_for_us", "This was sealed for another key.")
        return opened

    def _open(self, sealed: bytes) -> bytes | None:
        try:
            return bytes(SealedBox(PrivateKey(self._raw)).decrypt(sealed))
        except (CryptoError, ValueError, TypeError):
            return None


def new_signing(purpose: Purpose, made: datetime | None = None) -> SigningIdentity:
    """Makes a fresh signing key from the system's random source."""
    return SigningIdentity(purpose, bytes(SigningKey.generate()), made)


def new_sealing(purpose: Purpose, made: datetime | None = None) -> SealingIdentity:
    """Makes a fresh sealing key from the system's random source."""
    return SealingIdentity(purpose, bytes(PrivateKey.generate()), made)


def load_signing(path: Path, purpose: Purpose, ring: Ring | None = None) -> SigningIdentity:
    """Reads a signing key that was saved for this very purpose.

    Raises:
        Stop: as `agent.key_file.load_held`.
    """
    found = load_held(path, purpose, ring=ring)
    return SigningIdentity(purpose, found.raw, found.made)


def load_sealing(path: Path, purpose: Purpose, ring: Ring | None = None) -> SealingIdentity:
    """Reads a sealing key that was saved for this very purpose.

    Raises:
        Stop: as `agent.key_file.load_held`.
    """
    found = load_held(path, purpose, ring=ring)
    return SealingIdentity(purpose, found.raw, found.made)


@dataclass(frozen=True, slots=True)
class Identity:
    """A silo's keys, one for each purpose.

    Attributes:
        post_quantum: For plans with the hybrid profile; None in a silo that enrolled before.
    """

    sign: SigningIdentity
    seal: SealingIdentity
    courier: SigningIdentity
    post_quantum: PostQuantumIdentity | None = None


def make_identity(
    keys_folder: Path,
    courier_folder: Path,
    made: datetime | None = None,
    rings: Rings = NO_RINGS,
) -> Identity:
    """Makes those of a silo's keys that are not there yet, and reads all of them.

    A kill in between loses nothing: a key's file is whole or absent, and what exists is kept. Where
    one that exists cannot be read, none is made beside it.

    Args:
        keys_folder: For `sign.key`, `seal.key` and `pq-sign.key`; made with mode 0700 where it is
            missing.
        courier_folder: For `courier.key`, which another user may own; likewise.
        made: The time, which new keys remember.
        rings: What seals new keys, and opens those that are sealed.

    Raises:
        Stop: A folder or key cannot be written or read.
    """
    for folder in (keys_folder, courier_folder):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(f"Cannot make the folder {folder}: {error.strerror}.") from error
    ring = rings.keeper
    wanted: tuple[tuple[Path, Callable[[], Secret], Ring | None], ...] = (
        (keys_folder / "sign.key", lambda: new_signing("sign", made), ring),
        (keys_folder / "seal.key", lambda: new_sealing("seal", made), ring),
        (keys_folder / "pq-sign.key", lambda: new_post_quantum(made), ring),
        (courier_folder / "courier.key", lambda: new_signing("courier", made), rings.courier),
    )
    missing = [one for one in wanted if not one[0].exists()]
    for path, _, opens in wanted:
        if path.exists():
            rests_sealed(path, opens)
    for path, make, seals in missing:
        make().save(path, ring=seals)
    return load_identity(keys_folder, courier_folder, rings)


def load_identity(keys_folder: Path, courier_folder: Path, rings: Rings = NO_RINGS) -> Identity:
    """Reads a silo's keys.

    Raises:
        Stop: as `load_signing`.
    """
    path, ring = keys_folder / "pq-sign.key", rings.keeper
    return Identity(
        load_signing(keys_folder / "sign.key", "sign", ring),
        load_sealing(keys_folder / "seal.key", "seal", ring),
        load_signing(courier_folder / "courier.key", "courier", rings.courier),
        load_post_quantum(path, ring) if path.exists() else None,
    )


def next_key(path: Path) -> Path:
    """Returns where the key is that shall follow the one at `path`."""
    return path.with_suffix(".next.key")


def prepare_next(path: Path, purpose: Purpose, made: datetime, ring: Ring | None = None) -> None:
    """Makes the key that shall follow the one at `path`, unless it is there already.

    It rests as that one does: a service that was started before there was a key of the key ring
    could not open it else.

    Raises:
        Stop: It cannot be written, or `ring` does not open the key at `path`.
    """
    following = next_key(path)
    if following.exists():
        return
    fresh = new_sealing(purpose, made) if purpose == "seal" else new_signing(purpose, made)
    fresh.save(following, like=path, ring=ring if rests_sealed(path, ring) else None)


def promote(path: Path, *, keep: bool) -> None:
    """Puts the next key in the place of the one at `path`; harmless where that is done already.

    There is no moment without a key at `path`. A kill leaves either the old one or the new one, and
    doing it again ends the same.

    Args:
        path: The key in use, for example `keys/seal.key`.
        keep: Keeps the old key in `retired/`, for a key that opens what was sealed before. Without
            it the old key is gone, which is right for one that only signs.

    Raises:
        OSError: The folder cannot be written.
    """
    following = next_key(path)
    if not following.exists():
        return
    if keep:
        kept = path.parent / _RETIRED
        kept.mkdir(mode=0o700, exist_ok=True)
        if not any(other.samefile(path) for other in kept.iterdir()):
            names = (kept / f"{path.stem}-{number}.key" for number in count(1))
            os.link(path, next(name for name in names if not name.exists()))
        fsync_folder(kept)
    following.replace(path)
    fsync_folder(path.parent)
