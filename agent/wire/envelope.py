"""The envelope: a sealed blob and a small signed header that binds it.

header  = "ONGGI-E1" | u32 core length | core | wrapped key | blob SHA-256 | u64 blob length
signed  = header | key id | Ed25519 signature over the pre-authentication encoding of header
blob    = secretstream header | chunks of 1 MiB (each 17 bytes longer), the last tagged FINAL

The wrapped key is a SealedBox of (blob key | SHA-256(core)) for the round's sealing key, so a key
cannot be moved to another core; every chunk's associated data is SHA-256(core), so a blob cannot
either. Envelope id = SHA-256 of the signed header. All integers are big-endian.

"ONGGI-E2" is the hybrid profile: the wrapped key is longer, and an ML-DSA-65 signature of the same
bytes follows the first one. The mark is signed, so neither form can be made to pass for the other.
The core commits to the blob key, and the header names the blob's hash. Opening is a function of
the two, so they commit to the plaintext as well: no sender can show two plaintexts for one
envelope, although XChaCha20-Poly1305 alone does not commit to its key (Len, Grubbs and Ristenpart
2021, "Partitioning Oracle Attacks").
"""

import hashlib
import hmac
import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox
from nacl.utils import random as random_bytes

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import Member, Roster, UpdateCore
from agent.wire.hybrid import (
    OVERHEAD_BYTES,
    SIGNATURE_BYTES,
    Hybrid,
    check_pq_signature,
    wrap,
)
from agent.wire.lane import Lane
from agent.wire.roster import signing_keys
from agent.wire.signed import Signer, check_signature, key_id, pre_authentication

_KEY_BYTES = 32
_MAX_CORE_BYTES = 64 << 10
Profile = Literal["classic", "hybrid"]


class _Form:
    """How a header of one profile is laid out."""

    def __init__(self, profile: Profile, magic: bytes, overhead: int, signatures: str) -> None:
        self.profile: Profile = profile
        self.magic = magic
        self.tail = struct.Struct(f">{2 * _KEY_BYTES + overhead}s32sQ")
        self.signatures = struct.Struct(f">32s{signatures}")


# SealedBox adds an ephemeral key and a tag.
_CLASSIC = _Form("classic", b"ONGGI-E1", 48, "64s")
_HYBRID = _Form("hybrid", b"ONGGI-E2", OVERHEAD_BYTES, f"64s{SIGNATURE_BYTES}s")
_MAGIC_BYTES = 8
_COMMITTED = b"ONGGI-E1 blob key"
CHUNK_BYTES = 1 << 20
_SMALL = 8 * CHUNK_BYTES
_CHUNK_OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_STREAM_HEADER = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL
_MESSAGE = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
MAX_HEADER_BYTES = _MAGIC_BYTES + 4 + _MAX_CORE_BYTES + _HYBRID.tail.size + _HYBRID.signatures.size


class Unsealer(Protocol):
    """Something that holds the private key of a round."""

    def unseal(self, sealed: bytes) -> bytes:
        """Opens what was wrapped for it; raises `Refused("not_for_us", ...)` where that fails."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose signature was checked."""

    envelope_id: str
    core: UpdateCore
    core_sha256: bytes
    wrapped_key: bytes
    blob_sha256: str
    blob_bytes: int
    profile: Profile = "classic"


def blob_length(payload_bytes: int) -> int:
    """Returns how long the blob of a payload is, in bytes."""
    chunks = max(1, -(-payload_bytes // CHUNK_BYTES))
    return _STREAM_HEADER + payload_bytes + chunks * _CHUNK_OVERHEAD


def seal(
    payload: bytes,
    core: UpdateCore,
    recipient_hex: str,
    signer: Signer,
    sink: BinaryIO,
    hybrid: Hybrid | None = None,
) -> bytes:
    """Seals a payload for one recipient and signs the header.

    Args:
        payload: The plaintext.
        core: What binds the envelope; its commitment is filled in here.
        recipient_hex: The round's X25519 sealing key.
        signer: The silo's signing key.
        sink: Where the blob is written; the caller makes it durable.
        hybrid: The post-quantum halves of both keys, under a plan with the hybrid profile.

    Returns:
        The signed header's bytes; their SHA-256 is the envelope's id.

    Raises:
        Refused: `bad_key`: the round's ML-KEM key is none.
    """
    key = random_bytes(_KEY_BYTES)
    core_bytes = core.model_copy(update={"commitment": commitment(key)}).to_bytes()
    core_sha256 = hashlib.sha256(core_bytes).digest()
    blob_sha256, blob_bytes = _encrypt(payload, key, core_sha256, sink)
    form = _CLASSIC if hybrid is None else _HYBRID
    wrapped = _wrapped(key + core_sha256, recipient_hex, hybrid)
    header = (
        form.magic
        + struct.pack(">I", len(core_bytes))
        + core_bytes
        + form.tail.pack(wrapped, blob_sha256, blob_bytes)
    )
    message = pre_authentication("envelope", header)
    signatures = [signer.sign(message), *([] if hybrid is None else [hybrid.signer.sign(message)])]
    return header + form.signatures.pack(bytes.fromhex(key_id(signer.public_hex)), *signatures)


def _wrapped(content: bytes, recipient_hex: str, hybrid: Hybrid | None) -> bytes:
    if hybrid is not None:
        return wrap(content, recipient_hex, hybrid.kem_hex)
    return SealedBox(PublicKey(bytes.fromhex(recipient_hex))).encrypt(content)


def verify_header(content: bytes, roster: Roster) -> Header:
    """Checks a signed header against the roster, then parses it.

    Raises:
        Refused: `bad_header` (framing), `unknown_signer`, `bad_signature`, `revoked`,
            `wrong_silo` (signed by another silo's key), `unknown_extension`, or `malformed`.
    """
    form, header, core_bytes, (signer, signature, *more) = _split(content)
    signer_id, message = signer.hex(), pre_authentication("envelope", header)
    member = _members_by_key(roster).get(signer_id)
    if member is None:
        raise Refused("unknown_signer", "No silo in the roster has the key that signed this.")
    # A key that was rotated signs what was under way for as long as the roster says so.
    keys = {key_id(key): key for key in signing_keys(member)}
    check_signature(keys[signer_id], message, signature)
    for post_quantum in more:
        if member.pq_sign_key is None:
            raise Refused("unknown_signer", f"The roster has no post-quantum key of {member.silo}.")
        check_pq_signature(member.pq_sign_key, message, post_quantum)
    if member.revoked:
        raise Refused("revoked", f"The key of silo {member.silo} was revoked.")
    core = UpdateCore.parse(core_bytes)
    if core.silo != member.silo:
        raise Refused("wrong_silo", f"Silo {member.silo} signed an update in another's name.")
    if core.crit:
        raise Refused("unknown_extension", f"This reader does not know {', '.join(core.crit)}.")
    wrapped, blob_sha256, blob_bytes = form.tail.unpack(header[-form.tail.size :])
    return Header(
        envelope_id=sha256_bytes(content),
        core=core,
        core_sha256=hashlib.sha256(core_bytes).digest(),
        wrapped_key=wrapped,
        blob_sha256=blob_sha256.hex(),
        blob_bytes=blob_bytes,
        profile=form.profile,
    )


def read_core(content: bytes) -> bytes:
    """Returns what a signed header says in the open; its signature is not checked here.

    Raises:
        Refused: `bad_header`.
    """
    return _split(content)[2]


def open_blob(header: Header, source: BinaryIO, recipient: Unsealer) -> bytes:
    """Opens the blob of a verified header.

    Raises:
        Refused: `not_for_us`, `moved_key` (wrapped for another core), `bad_blob` (altered,
            truncated, reordered or overlong), or `bad_commitment`.
    """
    opened = recipient.unseal(header.wrapped_key)
    key, bound = opened[:_KEY_BYTES], opened[_KEY_BYTES:]
    if not hmac.compare_digest(bound, header.core_sha256):
        raise Refused("moved_key", "The key in this envelope was wrapped for another header.")
    if not hmac.compare_digest(commitment(key), header.core.commitment):
        raise Refused("bad_commitment", "The key is not the one that the header commits to.")
    return _decrypt(source, key, header)


def commitment(key: bytes) -> str:
    """Returns what a core says of its blob key: keyed BLAKE2b-256 of a constant, in hexadecimal.

    Args:
        key: The blob key, 32 bytes.
    """
    return hashlib.blake2b(_COMMITTED, key=key, digest_size=32).hexdigest()


def _split(content: bytes) -> tuple[_Form, bytes, bytes, tuple[bytes, ...]]:
    fixed = _MAGIC_BYTES + 4
    forms = [form for form in (_CLASSIC, _HYBRID) if content.startswith(form.magic)]
    if not forms or not fixed <= len(content) <= MAX_HEADER_BYTES:
        raise Refused("bad_header", "This is no envelope header that this program knows.")
    form = forms[0]
    (length,) = struct.unpack_from(">I", content, _MAGIC_BYTES)
    if len(content) != fixed + length + form.tail.size + form.signatures.size:
        raise Refused("bad_header", "The envelope header has a wrong length.")
    header, last = content[: -form.signatures.size], content[-form.signatures.size :]
    return form, header, content[fixed : fixed + length], form.signatures.unpack(last)


def _members_by_key(roster: Roster) -> Mapping[str, Member]:
    return {key_id(key): member for member in roster.members for key in signing_keys(member)}


def _encrypt(payload: bytes, key: bytes, bound: bytes, sink: BinaryIO) -> tuple[bytes, int]:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    digest = hashlib.sha256()

    def finish(piece: bytes, _: bytes) -> None:
        digest.update(piece)
        sink.write(piece)

    with Lane(finish, beside=len(payload) > _SMALL) as lane:
        lane.put(bindings.crypto_secretstream_xchacha20poly1305_init_push(state, key))
        for offset in range(0, max(len(payload), 1), CHUNK_BYTES):
            tag = _FINAL if offset + CHUNK_BYTES >= len(payload) else _MESSAGE
            piece = payload[offset : offset + CHUNK_BYTES]
            lane.put(bindings.crypto_secretstream_xchacha20poly1305_push(state, piece, bound, tag))
    return digest.digest(), blob_length(len(payload))


def _decrypt(source: BinaryIO, key: bytes, header: Header) -> bytes:
    digest = hashlib.sha256()
    payload = io.BytesIO()  # grows in place, and gives its bytes away without a copy

    def finish(chunk: bytes, piece: bytes) -> None:
        digest.update(chunk)
        payload.write(piece)

    try:
        with Lane(finish, beside=header.blob_bytes > _SMALL) as lane:
            _pull(source, key, header.core_sha256, lane)
    except (CryptoError, ValueError, TypeError) as error:
        # PyNaCl raises ValueError or its own TypeError subclass on wrong lengths.
        raise Refused("bad_blob", "The blob was altered, cut short or put out of order.") from error
    if source.read(1):
        raise Refused("bad_blob", "Bytes follow the blob's final chunk.")
    if not hmac.compare_digest(digest.hexdigest(), header.blob_sha256):
        raise Refused("bad_blob", "The blob is not the one that the header names.")
    return payload.getvalue()


def _pull(source: BinaryIO, key: bytes, bound: bytes, lane: Lane) -> None:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    start = source.read(_STREAM_HEADER)
    lane.put(start)
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, start, key)
    tag = _MESSAGE
    while tag != _FINAL:
        chunk = source.read(CHUNK_BYTES + _CHUNK_OVERHEAD)
        piece, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, chunk, bound)
        lane.put(chunk, piece)
