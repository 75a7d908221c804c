"""This silo's own keys: which are in use, which shall follow, and when something ends.

A new key is made beside the old one, and its request waits in the outbox. The old key works until
a roster that the keeper believes names the new one; then the new one takes its place. Each step may
be done twice, and a kill between any two of them ends the same.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509

from agent import log
from agent.boxes import rotation_path
from agent.clock import from_text, to_text
from agent.errors import Refused, Stop
from agent.files import write_atomic
from agent.key_ring import NO_RINGS, RingKey, Rings
from agent.keys import (
    PostQuantumIdentity,
    SealingIdentity,
    SigningIdentity,
    load_post_quantum,
    load_sealing,
    load_signing,
    next_key,
    prepare_next,
    promote,
)
from agent.wire.documents import Member, Roster, RotationRequest
from agent.wire.roster import key_of, member_of, sign_rotation
from agent.wire.signed import key_id, parse
from agent.wire.trusted import Trusted

_log = logging.getLogger(__name__)
Purpose = Literal["sign", "seal", "courier"]
PURPOSES: tuple[Purpose, ...] = ("sign", "seal", "courier")
WARN_BEFORE = timedelta(days=30)


class OwnKeys:
    """The signing key in use, which follows what the roster says.

    Args:
        keys: The keeper's folder of keys.
        outbox: Where requests for new keys wait.
        silo: This silo's name.
        ring: Opens the keys that rest sealed.

    Raises:
        Stop: The signing key is missing, open to others, damaged, or not opened by `ring`.
    """

    def __init__(self, keys: Path, outbox: Path, silo: str, ring: RingKey | None = None) -> None:
        self._keys = keys
        self._outbox = outbox
        self._silo = silo
        self._ring = ring
        self._sign = load_signing(keys / "sign.key", "sign", ring)

    @property
    def public_hex(self) -> str:
        """The public half of the signing key, 32 bytes in hexadecimal."""
        return self._sign.public_hex

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        return self._sign.sign(message)

    def post_quantum(self) -> PostQuantumIdentity:
        """Returns the key that signs beside the other under the hybrid profile.

        Raises:
            Refused: `no_post_quantum_key`: this silo enrolled before there was such a key.
        """
        path = self._keys / "pq-sign.key"
        if not path.exists():
            raise Refused(
                "no_post_quantum_key",
                "The plan asks for the hybrid profile, and this silo enrolled without a "
                "post-quantum key; enrol it anew under another name.",
            )
        return load_post_quantum(path, self._ring)

    def follow(self, roster: Roster) -> None:
        """Takes each next key that the roster names into use, and its request out of the outbox.

        Raises:
            Stop: A next key is damaged.
            OSError: A folder cannot be written.
        """
        member = member_of(roster, self._silo)
        if member is None:
            return
        self._follow("sign", member)
        self._follow("seal", member)
        for purpose in PURPOSES:
            path = rotation_path(self._outbox, purpose)
            if path.exists() and _asked_for(path) == key_of(member, purpose):
                path.unlink()

    def _follow(self, purpose: Literal["sign", "seal"], member: Member) -> None:
        path = self._keys / f"{purpose}.key"
        following = next_key(path)
        if not following.exists():
            return
        if _load(following, purpose, self._ring).public_hex != key_of(member, purpose):
            return
        # What was sealed for the old key may be opened yet; what it signed needs it no more.
        promote(path, keep=purpose == "seal")
        self._sign = load_signing(self._keys / "sign.key", "sign", self._ring)
        log.event(_log, "key replaced", purpose=purpose)


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where this silo's keys and its requests are.

    Attributes:
        keys: The keeper's folder of keys.
        courier: The courier's folder, which holds its key.
        outbox: Where requests for new keys wait.
        rings: What opens the keys that rest sealed.
    """

    keys: Path
    courier: Path
    outbox: Path
    rings: Rings = NO_RINGS

    def load(self, purpose: Purpose) -> SigningIdentity | SealingIdentity:
        """Reads the key in use.

        Raises:
            Stop: as `agent.key_file.load_held`.
        """
        return _load(self.path(purpose), purpose, self.rings.of(purpose))

    def load_next(self, purpose: Purpose) -> SigningIdentity | SealingIdentity:
        """Reads the key that shall follow.

        Raises:
            Stop: as `agent.key_file.load_held`.
        """
        return _load(next_key(self.path(purpose)), purpose, self.rings.of(purpose))

    def path(self, purpose: Purpose) -> Path:
        """Returns the file of the key in use."""
        return (self.courier if purpose == "courier" else self.keys) / f"{purpose}.key"


def rotate(
    files: KeyFiles, purpose: Purpose, member: Member, consortium: str, now: datetime
) -> bytes:
    """Makes the next key and the request for it; asked again, returns the same request.

    Args:
        files: Where this silo's keys are.
        purpose: Which key.
        member: This silo's entry in the roster that it believes.
        consortium: The consortium's name.
        now: The time.

    Returns:
        The signed request, which waits in the outbox for the courier, or is carried as a file.

    Raises:
        Stop: A key is not the one that the roster names, or a file cannot be read or written.
    """
    path, request = files.path(purpose), rotation_path(files.outbox, purpose)
    signer = load_signing(files.path("sign"), "sign", files.rings.keeper)
    if signer.public_hex != member.sign_key:
        raise Stop("The roster names another signing key; start the keeper, or restore the key.")
    try:
        prepare_next(path, purpose, now, files.rings.of(purpose))
        following = files.load_next(purpose)
        if request.exists() and _is_request(request, following.public_hex, signer):
            return request.read_bytes()
        asked = RotationRequest(
            consortium=consortium,
            silo=member.silo,
            purpose=purpose,
            old_key=key_of(member, purpose),
            new_key=following.public_hex,
            created=to_text(now),
        )
        possessed = following if isinstance(following, SigningIdentity) else None
        content = sign_rotation(asked, signer, possessed)
        write_atomic(request, content)
    except OSError as error:
        raise Stop(f"Cannot write {error.filename or request}: {error.strerror}.") from error
    return content


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key of this silo.

    Attributes:
        purpose: `sign`, `seal` or `courier`.
        fingerprint: SHA-256 of the public half.
        state: `in use`, or `next`: it waits for a roster that names it.
        since: When it was made, or empty: the format did not say then.
        expires: When the silo's membership ends, and the key with it.
        alarm: What a person should do about it, or empty.
    """

    purpose: Purpose
    fingerprint: str
    state: Literal["in use", "next"]
    since: str
    expires: str
    alarm: str


def key_lines(files: KeyFiles, member: Member | None, now: datetime) -> list[KeyLine]:
    """Lists this silo's keys.

    Args:
        files: Where they are.
        member: This silo's entry in the roster; None where none is believed.
        now: The time, for what ends soon.

    Raises:
        Stop: A key is missing, open to others, or damaged.
    """
    lines = []
    for purpose in PURPOSES:
        lines.append(_line(purpose, files.load(purpose), member, now))
        if next_key(files.path(purpose)).exists():
            lines.append(_line(purpose, files.load_next(purpose), member, now, waits=True))
    return lines


def key_publics(files: KeyFiles) -> tuple[str, str, str]:
    """Returns the public halves of the keys in use, as a fingerprint takes them.

    Raises:
        Stop: A key is missing, open to others, or damaged.
    """
    sign, seal, courier = (files.load(one).public_hex for one in PURPOSES)
    return sign, seal, courier


def alarms(trusted: Trusted, silo: str, ca_file: Path, now: datetime) -> list[str]:
    """Says what of this silo's trust ends within 30 days or has ended."""
    ends = {"the trust root": trusted.root.expires}
    if trusted.roster is not None:
        ends["the roster"] = trusted.roster.expires
        member = member_of(trusted.roster, silo)
        if member is None or member.revoked:
            return [f"The roster does not name {silo} any more; ask the consortium."]
        ends["this silo's membership"] = member.expires
    if ca_file.exists():
        ends["the aggregator's certificate"] = _certificate_end(ca_file)
    return _ending(ends, now)


def _ending(ends: Mapping[str, str], now: datetime) -> list[str]:
    return [
        f"{what[0].upper()}{what[1:]} {'ended' if from_text(end) <= now else 'ends'} at {end}; "
        "ask the consortium to renew it."
        for what, end in ends.items()
        if from_text(end) <= now + WARN_BEFORE
    ]


def _certificate_end(ca_file: Path) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(ca_file.read_bytes())
    except (OSError, ValueError) as error:
        raise Stop(f"{ca_file} holds no certificate; enrol again.") from error
    return to_text(certificate.not_valid_after_utc)


def _line(
    purpose: Purpose,
    key: SigningIdentity | SealingIdentity,
    member: Member | None,
    now: datetime,
    *,
    waits: bool = False,
) -> KeyLine:
    if waits:
        alarm = "It waits for a roster that names it." if member else ""
    elif member is None:
        alarm = "No roster is believed; wait for one, or ask the consortium."
    elif key_of(member, purpose) != key.public_hex:
        alarm = "The roster names another key; start the services, or restore the key."
    else:
        alarm = next(iter(_ending({"its membership": member.expires}, now)), "")
    return KeyLine(
        purpose=purpose,
        fingerprint=key_id(key.public_hex),
        state="next" if waits else "in use",
        since=to_text(key.made) if key.made else "",
        expires=member.expires if member else "",
        alarm=alarm,
    )


def _load(path: Path, purpose: Purpose, ring: RingKey | None) -> SigningIdentity | SealingIdentity:
    load = load_sealing if purpose == "seal" else load_signing
    return load(path, purpose, ring)


def _is_request(request: Path, new_key: str, signer: SigningIdentity) -> bool:
    # One that a former signing key has signed is believed by nobody any more.
    if _asked_for(request) != new_key:
        return False
    signers = {name for name, _ in parse(request.read_bytes()).signatures}
    return key_id(signer.public_hex) in signers


def _asked_for(request: Path) -> str:
    try:
        return RotationRequest.parse(parse(request.read_bytes()).payload).new_key
    except Refused:  # cut short by hand: it is made anew, or it never goes
        return ""
