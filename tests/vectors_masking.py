"""Checks the part `masking` of docs/protocol-vectors.json with nothing of the product.

Three silos, of which the last drops out after its keys: seeds, masks, numbers in the ring, shares,
and the sum. `cryptography` and hashlib alone, and docs/protocol.md's words (section 10).
"""

import hashlib
import math
import struct
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PRIME = 2**256 + 297
_RING = 2**32


def check_masking(one: dict[str, Any]) -> int:
    """Checks every vector of masking; returns how many facts were compared.

    Raises:
        AssertionError: One is not true.
    """
    parts = (_public_keys, _pairs, _numbers, _vectors, _sum, _shares, _sealed)
    return sum(part(one) for part in parts)


def _same(found: object, told: object) -> int:
    assert found == told, f"{found!r} is not {told!r}"
    return 1


def _private(text: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(text))


def _public_keys(one: dict[str, Any]) -> int:
    return sum(
        _same(_private(silo[f"{key}_private"]).public_key().public_bytes_raw().hex(), silo[key])
        for silo in one["silos"]
        for key in ("mask_key", "share_key")
    )


def _info(one: dict[str, Any], label: str, *silos: str) -> bytes:
    hashes = [bytes.fromhex(one[name]) for name in ("key_set_sha256", "base_sha256")]
    start = [b"onggi-sa1", label.encode(), one["round_id"].encode()]
    fields = [*start, *hashes, *(silo.encode() for silo in silos)]
    return b"".join(len(field).to_bytes(2, "big") + field for field in fields)


def _derived(private: str, public: str, info: bytes) -> bytes:
    secret = _private(private).exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public)))
    return HKDF(SHA256(), 32, salt=None, info=info).derive(secret)


def _by_name(one: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {silo["silo"]: silo for silo in one["silos"]}


def _commitment(seed: str) -> str:
    return hashlib.sha256(b"onggi-sa1 seed" + bytes.fromhex(seed)).hexdigest()


def _pairs(one: dict[str, Any]) -> int:
    known, facts = _by_name(one), 0
    for pair in one["pairs"]:
        first, second = (known[silo] for silo in pair["silos"])
        info = _info(one, "mask", *sorted(pair["silos"]))
        facts += _same(info.hex(), pair["info"])
        for mine, other in ((first, second), (second, first)):
            seed = _derived(mine["mask_key_private"], other["mask_key"], info)
            facts += _same(seed.hex(), pair["seed"])
        facts += _same(_commitment(pair["seed"]), pair["commitment"])
    return facts


def _stream(seed: str, words: int) -> list[int]:
    encryptor = Cipher(ChaCha20(bytes.fromhex(seed), bytes(16)), mode=None).encryptor()
    return list(struct.unpack(f"<{words}I", encryptor.update(bytes(4 * words))))


def _numbers(one: dict[str, Any]) -> int:
    top, facts = float(2 ** one["bits"] - 1), 0
    for silo in one["silos"]:
        chance = _stream(silo["rounding_seed"], len(silo["values"]))
        found = []
        for value, drawn in zip(silo["values"], chance, strict=True):
            scaled = max(-top, min(top, value * (top / one["limit"])))
            found.append(math.floor(scaled + drawn * 2.0**-32))
        facts += _same(found, silo["elements"])
    return facts


def _words(content: str) -> list[int]:
    raw = bytes.fromhex(content)
    return list(struct.unpack(f"<{len(raw) // 4}I", raw))


def _seed_of(one: dict[str, Any], *silos: str) -> str:
    (found,) = (pair["seed"] for pair in one["pairs"] if set(pair["silos"]) == set(silos))
    return str(found)


def _added(total: list[int], seed: str, sign: int) -> list[int]:
    stream = _stream(seed, len(total))
    return [(word + sign * mask) % _RING for word, mask in zip(total, stream, strict=True)]


def _vectors(one: dict[str, Any]) -> int:
    facts = 0
    for silo in one["silos"]:
        if silo["silo"] in one["dropped"]:
            continue
        total = _added([element % _RING for element in silo["elements"]], silo["own_seed"], 1)
        for other in _by_name(one):
            if other != silo["silo"]:
                sign = 1 if other > silo["silo"] else -1
                total = _added(total, _seed_of(one, silo["silo"], other), sign)
        facts += _same(total, _words(silo["vector"]))
        facts += _same(_commitment(silo["own_seed"]), silo["own_sha256"])
    return facts


def _sum(one: dict[str, Any]) -> int:
    """Lifts what is left of the masks, with the seeds that are published."""
    left = [silo for silo in one["silos"] if silo["silo"] not in one["dropped"]]
    total = [sum(words) % _RING for words in zip(*(_words(s["vector"]) for s in left), strict=True)]
    for silo in left:
        total = _added(total, silo["own_seed"], -1)
        for other in one["dropped"]:
            sign = -1 if other > silo["silo"] else 1
            total = _added(total, _seed_of(one, silo["silo"], other), sign)
    plain = [sum(elements) % _RING for elements in zip(*(s["elements"] for s in left), strict=True)]
    content = struct.pack(f"<{len(total)}I", *total)
    told = one["sum"]
    return (
        _same(total, plain)
        + _same(content.hex(), told["words"])
        + _same(hashlib.sha256(content).hexdigest(), told["sha256"])
    )


def _shares(one: dict[str, Any]) -> int:
    told, facts = one["shares"], 0
    polynomial = [int(number, 16) for number in told["polynomial"]]
    facts += _same(f"{polynomial[0]:064x}", told["secret"])
    for place, share in enumerate(told["shares"], 1):
        value = sum(number * place**power for power, number in enumerate(polynomial)) % _PRIME
        facts += _same(f"{value:066x}", share)
    chosen = {place: int(told["shares"][place - 1], 16) for place in told["points"]}
    return facts + _same(f"{_at_zero(chosen):064x}", told["secret"])


def _at_zero(shares: Mapping[int, int]) -> int:
    total = 0
    for place, share in shares.items():
        above = below = 1
        for other in shares:
            if other != place:
                above, below = above * other, below * (other - place)
        total += share * above * pow(below, -1, _PRIME)
    return total % _PRIME


def _sealed(one: dict[str, Any]) -> int:
    told, known = one["sealed_shares"], _by_name(one)
    info = _info(one, "shares", told["from"], told["to"])
    key = _derived(known[told["to"]]["share_key_private"], known[told["from"]]["share_key"], info)
    content = bytes.fromhex(told["sealed"])
    opened = ChaCha20Poly1305(key).decrypt(content[:12], content[12:], info)
    return _same(info.hex(), told["info"]) + _same(opened.hex(), told["opened"])
