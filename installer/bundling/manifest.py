"""What a bundle says of itself, and its signature.

ECDSA over P-256 with SHA-256, because `openssl dgst -verify` of every supported host checks it:
RHEL 8's openssl 1.1.1 cannot check Ed25519 of a file.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from installer.bundling.wheels import NotBuilt, sha256_of

FORMAT = "onggi-bundle/1"
NAME, SIGNATURE = "manifest", "manifest.sig"


def manifest(facts: Mapping[str, str], parts: Mapping[str, bytes | Path]) -> bytes:
    """Writes the manifest: facts, then a line for each file, as `sha256sum --check` reads it.

    Args:
        facts: Word and value; each becomes a line `# word: value`.
        parts: Every file of the bundle by its name there.
    """
    lines = [f"# {FORMAT}", *(f"# {word}: {value}" for word, value in facts.items())]
    lines += [f"{_sha256(part)}  {name}" for name, part in sorted(parts.items())]
    return ("\n".join(lines) + "\n").encode()


def _sha256(part: bytes | Path) -> str:
    return sha256_of(part) if isinstance(part, Path) else hashlib.sha256(part).hexdigest()


def facts_of(manifest_: bytes) -> dict[str, str]:
    """Returns the facts of a manifest."""
    lines = (line[2:] for line in manifest_.decode().splitlines()[1:] if line.startswith("# "))
    return dict(line.split(": ", 1) for line in lines)


def hashes_of(manifest_: bytes) -> dict[str, str]:
    """Returns what a manifest says of each file: its SHA-256, by its name."""
    lines = manifest_.decode().splitlines()
    return {line[66:]: line[:64] for line in lines if not line.startswith("#")}


def new_key(path: Path) -> None:
    """Makes a signing key, mode 0600; its public half beside it, ending in `.pub`.

    Raises:
        FileExistsError: There is one already.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    path.touch(0o600, exist_ok=False)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.with_suffix(".pub").write_bytes(_public(key))


def sign(content: bytes, key_file: Path) -> tuple[bytes, bytes]:
    """Signs the manifest.

    Returns:
        The signature (DER) and the public key (PEM).

    Raises:
        NotBuilt: The file holds no key of this kind.
    """
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotBuilt(f"{key_file} holds no signing key; make one with --new-key.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise NotBuilt(f"{key_file} holds another kind of key; make one with --new-key.")
    return key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)), _public(key)


def verify(content: bytes, signature: bytes, public: Path) -> None:
    """Believes a manifest, or ends.

    Raises:
        NotBuilt: The file holds no such key, or the signature is another's.
    """
    try:
        key = serialization.load_pem_public_key(public.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise NotBuilt(f"{public} holds no public key; --key names that of the bundles.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise NotBuilt(f"{public} holds another kind of key; --key names that of the bundles.")
    try:
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise NotBuilt(f"The signature is not that of {public}: do not use this bundle.") from error


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def as_json(document: object) -> bytes:
    """Writes a document so that equal ones have equal bytes."""
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
