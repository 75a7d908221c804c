"""Makes those vectors that change with the envelope's format; `python -m tests.vectors --write`."""

import hashlib
import io
import json
import struct
from typing import Any

import numpy as np

from agent.keys import (
    HybridSealingIdentity,
    PostQuantumIdentity,
    SealingIdentity,
    SigningIdentity,
)
from agent.wire.carrying import FeedRequest, feed_name, header_name
from agent.wire.documents import Feed, FeedItem, Privacy, UpdateCore
from agent.wire.envelope import seal
from agent.wire.hybrid import Hybrid
from agent.wire.masking import shamir
from agent.wire.masking.prg import add_masks
from agent.wire.masking.quantize import Rounding, quantize
from agent.wire.masking.seeds import Binding, RoundSecrets, commitment
from agent.wire.signed import key_id, pre_authentication, sign

_SILOS, _DROPPED = ("silo-a", "silo-b", "silo-c"), ("silo-c",)
_LIMIT, _BITS = 0.02, 24
_AT, _LATER = "2026-06-01T00:00:00.000000Z", "2026-06-08T00:00:00.000000Z"


def made(vectors: dict[str, Any]) -> dict[str, Any]:
    """Returns the vectors with a fresh envelope, headers to refuse, and a carried folder."""
    seeds = [bytes.fromhex(one["seed"]) for one in vectors["signing_keys"]]
    silo, courier = SigningIdentity("sign", seeds[0]), SigningIdentity("courier", seeds[1])
    old = vectors["envelope"]
    recipient = SealingIdentity("round", bytes.fromhex(old["recipient_private"]))
    blob = io.BytesIO()
    core = _core(recipient.public_hex)
    header = seal(bytes.fromhex(old["payload"]), core, recipient.public_hex, silo, blob)
    envelope_id = hashlib.sha256(header).hexdigest()
    new = {
        "signed_header": header.hex(),
        "id": envelope_id,
        "blob": blob.getvalue().hex(),
    }
    return {
        **vectors,
        "envelope": {**old, **new},
        "refused_headers": _refused(header, silo),
        "folder": _folder(envelope_id, courier),
        "hybrid_envelope": _hybrid(vectors["hybrid_envelope"], silo),
        "masking": made_masking(),
    }


def _hybrid(old: dict[str, Any], silo: SigningIdentity) -> dict[str, Any]:
    raw = bytes.fromhex(old["recipient_x25519_private"] + old["recipient_mlkem_seed"])
    recipient = HybridSealingIdentity("round", raw)
    signer = PostQuantumIdentity("pq-sign", bytes.fromhex(old["mldsa_seed"]))
    content = bytes.fromhex(old["signed_header"])
    (length,) = struct.unpack(">I", content[8:12])
    core, blob = UpdateCore.parse(content[12 : 12 + length]), io.BytesIO()
    hybrid = Hybrid(recipient.kem_hex, signer)
    payload = bytes.fromhex(old["payload"])
    header = seal(payload, core, recipient.public_hex, silo, blob, hybrid)
    roster = json.loads(old["roster"])
    roster["members"][0]["sign_key"] = silo.public_hex
    return {
        **old,
        "roster": json.dumps(roster, sort_keys=True, separators=(",", ":")),
        "signed_header": header.hex(),
        "id": hashlib.sha256(header).hexdigest(),
        "blob": blob.getvalue().hex(),
    }


def _core(recipient: str) -> UpdateCore:
    return UpdateCore(
        consortium="vectors",
        silo="silo-a",
        sequence=1,
        roster_version=1,
        roster_sha256="11" * 32,
        plan_id="p1",
        round_id="p1.r1.a1",
        attempt=1,
        base_sha256="22" * 32,
        feature_sha256="33" * 32,
        reference_sha256="44" * 32,
        agent_version="0.1.0",
        created=_AT,
        expires=_LATER,
        recipient=key_id(recipient),
        commitment="00" * 32,
        privacy=Privacy(),
        egress_head="00" * 32,
    )


def _refused(header: bytes, signer: SigningIdentity) -> list[dict[str, Any]]:
    (length,) = struct.unpack(">I", header[8:12])
    core, tail = header[12 : 12 + length], header[12 + length : -96]
    flipped = bytearray(header)
    flipped[20] ^= 1
    strange = {
        "duplicate_key": b'{"v":1,' + core[1:],
        "malformed": core[:-1] + b',"extra":1}',
        "not_a_number": core.replace(b'"v":1', b'"v":NaN'),
        "unknown_extension": core.replace(b'"crit":[]', b'"crit":["x"]'),
        "wrong_silo": core.replace(b'"silo-a"', b'"silo-b"'),
    }
    return [
        _told("bad_signature", bytes(flipped), fits=False),
        _told("bad_header", header[:-1], fits=False),
        *(_told(code, _resigned(changed, tail, signer)) for code, changed in strange.items()),
    ]


def _told(code: str, content: bytes, *, fits: bool = True) -> dict[str, Any]:
    return {"code": code, "signature_fits": fits, "signed_header": content.hex()}


def _resigned(core: bytes, tail: bytes, signer: SigningIdentity) -> bytes:
    body = b"ONGGI-E1" + struct.pack(">I", len(core)) + core + tail
    signature = signer.sign(pre_authentication("envelope", body))
    return body + bytes.fromhex(key_id(signer.public_hex)) + signature


def _folder(envelope_id: str, courier: SigningIdentity) -> dict[str, Any]:
    asked = FeedRequest(consortium="vectors", silo="silo-a", after=3, created=_AT)
    item = FeedItem(number=4, kind="plan", document="c2lnbmVk")
    feed = Feed(items=(item,), last=4).to_bytes()
    return {
        "courier_key": courier.public_hex,
        "request_place": "up/silo-a/request",
        "request": sign("feed_request", asked.to_bytes(), courier).decode(),
        "header_place": f"up/silo-a/{header_name(envelope_id)}",
        "feed_place": f"down/silo-a/{feed_name(3, hashlib.sha256(feed).hexdigest())}",
        "feed": feed.decode(),
    }


def made_masking() -> dict[str, Any]:
    """Returns three silos' round of secure aggregation, the last of which drops out."""
    binding = Binding("p1.r1.a1", "77" * 32, "22" * 32)
    keys = {silo: RoundSecrets(_bytes(f"{silo} keys", 64)) for silo in _SILOS}
    pairs = [(one, other) for one in _SILOS for other in _SILOS if one < other]
    seeds = {(a, b): keys[a].pair_seed(keys[b].mask_key, binding, a, b) for a, b in pairs}
    silos = [_masked(silo, keys[silo], seeds) for silo in _SILOS]
    left = [one["elements"] for one in silos if one["silo"] not in _DROPPED]
    total = np.sum(left, axis=0).astype(np.int32).tobytes()
    return {
        "about": "SA-1: three silos, of which the last sends keys and no upload",
        "round_id": binding.round_id,
        "key_set_sha256": binding.key_set_sha256,
        "base_sha256": binding.base_sha256,
        "limit": _LIMIT,
        "bits": _BITS,
        "silos": silos,
        "dropped": list(_DROPPED),
        "pairs": [
            {
                "silos": [a, b],
                "info": binding.info("mask", a, b).hex(),
                "seed": seed.hex(),
                "commitment": commitment(seed),
            }
            for (a, b), seed in seeds.items()
        ],
        "sum": {"words": total.hex(), "sha256": hashlib.sha256(total).hexdigest()},
        "shares": _split(_bytes("silo-a own", 32)),
        "sealed_shares": _sealed_shares(keys, binding),
    }


def _bytes(what: str, count: int) -> bytes:
    return hashlib.shake_256(f"onggi vectors {what}".encode()).digest(count)


def _masked(silo: str, keys: RoundSecrets, seeds: dict[tuple[str, str], bytes]) -> dict[str, Any]:
    own, rounding = _bytes(f"{silo} own", 32), _bytes(f"{silo} rounding", 32)
    values = np.asarray([0.0, 0.0125, -0.0075, 0.5, -1e-9, 0.02], np.float32)
    values = np.roll(values, _SILOS.index(silo))
    vector = np.zeros(values.size, np.uint32)
    quantize(values, _LIMIT, _BITS, Rounding(rounding), vector)
    elements = vector.view(np.int32).tolist()
    plus = [seed for (a, _), seed in seeds.items() if a == silo]
    add_masks(vector, [own, *plus], [seed for (_, b), seed in seeds.items() if b == silo])
    return {
        "silo": silo,
        "mask_key_private": keys.raw[:32].hex(),
        "mask_key": keys.mask_key,
        "share_key_private": keys.raw[32:].hex(),
        "share_key": keys.share_key,
        "own_seed": own.hex(),
        "own_sha256": commitment(own),
        "rounding_seed": rounding.hex(),
        "values": values.astype(np.float64).tolist(),
        "elements": elements,
        "vector": vector.tobytes().hex(),
    }


def _split(secret: bytes) -> dict[str, Any]:
    rest = [int.from_bytes(_bytes(f"coefficient {power}", 32)) for power in (1, 2, 3)]
    polynomial = [int.from_bytes(secret), *rest]
    shares = [shamir._value(polynomial, point) for point in range(1, 6)]
    return {
        "secret": secret.hex(),
        "polynomial": [f"{number:064x}" for number in polynomial],
        "shares": [share.hex() for share in shares],
        "points": [1, 2, 4, 5],
    }


def _sealed_shares(keys: dict[str, RoundSecrets], binding: Binding) -> dict[str, Any]:
    sender, recipient = _SILOS[:2]
    opened = _bytes("three shares", 3 * shamir.SHARE_BYTES)
    sealed = keys[sender].seal(opened, keys[recipient].share_key, binding, sender, recipient)
    return {
        "from": sender,
        "to": recipient,
        "info": binding.info("shares", sender, recipient).hex(),
        "opened": opened.hex(),
        "sealed": sealed.hex(),
    }
