"""docs/protocol-vectors.json is true: another implementation could be built against it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import (
    HybridSealingIdentity,
    PostQuantumIdentity,
    SealingIdentity,
    SigningIdentity,
)
from agent.wire import merkle, signed
from agent.wire.carrying import FeedRequest, feed_name
from agent.wire.documents import Feed, Roster, RotationRequest
from agent.wire.envelope import open_blob, verify_header
from agent.wire.masking import shamir
from agent.wire.masking.prg import add_masks
from agent.wire.masking.quantize import Rounding, quantize
from agent.wire.masking.seeds import Binding, RoundSecrets, commitment
from agent.wire.repository import RepositoryFiles, verify_repository
from agent.wire.request import request_message
from agent.wire.roster import sign_rotation
from agent.wire.statements import EgressRoot, Proof, prove, verify_proof, verify_statement
from agent.wire.token import decode_token, fingerprint
from agent.wire.update import unpack
from tests import vectors as without_the_product
from tests.vectors_masking import check_masking

VECTORS = Path(__file__).parents[3] / "docs" / "protocol-vectors.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(VECTORS.read_text())
    return content


def test_keys(vectors: dict[str, Any]) -> None:
    for entry in vectors["signing_keys"]:
        key = SigningIdentity("sign", bytes.fromhex(entry["seed"]))
        assert key.public_hex == entry["public"]
        assert signed.key_id(entry["public"]) == entry["key_id"]


def test_pre_authentication_and_signature(vectors: dict[str, Any]) -> None:
    for entry in vectors["signatures"]:
        payload = entry["payload"].encode()
        message = signed.pre_authentication(entry["kind"], payload)
        assert message.hex() == entry["message"]
        key = SigningIdentity("sign", bytes.fromhex(entry["seed"]))
        assert key.sign(message).hex() == entry["signature"]
        container = signed.sign(entry["kind"], payload, key)
        assert container.decode() == entry["container"]
        assert signed.verify(container, entry["kind"], {entry["key_id"]: key.public_hex}) == payload


def test_request(vectors: dict[str, Any]) -> None:
    entry = vectors["request"]
    assert request_message(*entry["parts"]).hex() == entry["message"]


def test_token_and_fingerprint(vectors: dict[str, Any]) -> None:
    entry = vectors["token"]
    assert json.loads(decode_token(entry["text"]).to_bytes()) == entry["document"]
    assert fingerprint(*vectors["fingerprint"]["parts"]) == vectors["fingerprint"]["text"]


def test_envelope(vectors: dict[str, Any]) -> None:
    entry = vectors["envelope"]
    roster = Roster.parse(entry["roster"].encode())
    header = verify_header(bytes.fromhex(entry["signed_header"]), roster)
    assert header.envelope_id == entry["id"]
    recipient = SealingIdentity("round", bytes.fromhex(entry["recipient_private"]))
    payload = open_blob(header, io.BytesIO(bytes.fromhex(entry["blob"])), recipient)
    assert payload.hex() == entry["payload"]
    shapes = {name: tuple(shape) for name, shape in entry["shapes"].items()}
    delta, weight = unpack(payload, shapes)
    assert {name: tensor.tolist() for name, tensor in delta.items()} == entry["delta"]
    assert weight == entry["weight"]


def test_release_repository(vectors: dict[str, Any]) -> None:
    entry = vectors["release_repository"]
    files = RepositoryFiles.parse(entry["letter"].encode())
    now = from_text(entry["now"])
    found = verify_repository(files, entry["first_root_sha256"], "stable", now, lambda _: 0)
    assert dict(found.floors) == entry["floors"]
    offers = [
        {
            "release_id": offer.release_id,
            "version": offer.version,
            "files": {name: one.model_dump() for name, one in offer.files.items()},
        }
        for offer in found.offers
    ]
    assert offers == entry["offers"]
    root = signed.parse(files.roots[0].encode())
    named = json.loads(root.payload)["keys"]
    for role in ("root", "targets", "snapshot", "timestamp"):
        for seed in entry["seeds"][role]:
            public = SigningIdentity("tuf-root", bytes.fromhex(seed)).public_hex
            assert named[signed.key_id(public)]["keyval"]["public"] == public


def test_egress_log(vectors: dict[str, Any]) -> None:
    entry = vectors["egress"]
    leaves = [content.encode() for content in entry["leaves"]]
    hashes = [merkle.leaf_hash(content) for content in leaves]
    assert [one.hex() for one in hashes] == entry["leaf_hashes"]
    assert [merkle.root(hashes[:size]).hex() for size in range(4)] == entry["roots"]
    signed_root = entry["signed_root"].encode()
    root = verify_statement(signed_root, entry["silo_key"])
    assert isinstance(root, EgressRoot)
    assert root.follows()
    proof = Proof.parse(json.dumps(entry["proof"]).encode())
    assert prove(leaves, 1, signed_root) == proof
    leaf, _ = verify_proof(proof, entry["silo_key"])
    assert leaf.to_bytes() == leaves[1]


def test_headers_that_must_be_refused(vectors: dict[str, Any]) -> None:
    roster = Roster.parse(vectors["envelope"]["roster"].encode())
    for entry in vectors["refused_headers"]:
        with pytest.raises(Refused) as caught:
            verify_header(bytes.fromhex(entry["signed_header"]), roster)
        assert caught.value.code == entry["code"]


def test_a_carried_folder(vectors: dict[str, Any]) -> None:
    entry = vectors["folder"]
    keys = {signed.key_id(entry["courier_key"]): entry["courier_key"]}
    payload = signed.verify(entry["request"].encode(), "feed_request", keys)
    request = FeedRequest.parse(payload)
    content = entry["feed"].encode()
    assert Feed.parse(content).last == 4
    assert entry["feed_place"] == f"down/{request.silo}/" + feed_name(
        request.after, sha256_bytes(content)
    )


def test_the_vectors_are_true_without_the_product(vectors: dict[str, Any]) -> None:
    assert without_the_product.check(vectors) > 30


def test_a_false_vector_is_found(vectors: dict[str, Any]) -> None:
    key = {**vectors["signing_keys"][0], "key_id": "00" * 32}
    with pytest.raises(AssertionError):
        without_the_product.check({**vectors, "signing_keys": [key]})


def test_hybrid_envelope(vectors: dict[str, Any]) -> None:
    entry = vectors["hybrid_envelope"]
    raw = bytes.fromhex(entry["recipient_x25519_private"] + entry["recipient_mlkem_seed"])
    recipient = HybridSealingIdentity("round", raw)
    assert recipient.public_hex == entry["recipient_x25519"]
    assert recipient.kem_hex == entry["recipient_mlkem"]
    signer = PostQuantumIdentity("pq-sign", bytes.fromhex(entry["mldsa_seed"]))
    assert signer.public_hex == entry["mldsa_public"]
    header = verify_header(
        bytes.fromhex(entry["signed_header"]), Roster.parse(entry["roster"].encode())
    )
    assert (header.envelope_id, header.profile) == (entry["id"], "hybrid")
    payload = open_blob(header, io.BytesIO(bytes.fromhex(entry["blob"])), recipient)
    assert payload.hex() == entry["payload"]


def test_rotation(vectors: dict[str, Any]) -> None:
    entry = vectors["rotation"]
    old, new = (
        SigningIdentity("sign", bytes.fromhex(entry[seed])) for seed in ("old_seed", "new_seed")
    )
    request = RotationRequest.parse(entry["payload"].encode())
    assert sign_rotation(request, old, new).decode() == entry["container"]


def test_masking(vectors: dict[str, Any]) -> None:
    entry = vectors["masking"]
    binding = Binding(entry["round_id"], entry["key_set_sha256"], entry["base_sha256"])
    keys = {
        one["silo"]: RoundSecrets(bytes.fromhex(one["mask_key_private"] + one["share_key_private"]))
        for one in entry["silos"]
    }
    seeds = {}
    for pair in entry["pairs"]:
        first, second = pair["silos"]
        seed = keys[second].pair_seed(keys[first].mask_key, binding, second, first)
        seeds[first, second] = seed
        assert (seed.hex(), commitment(seed)) == (pair["seed"], pair["commitment"])
    total = np.zeros(len(entry["silos"][0]["values"]), np.uint32)
    for one in entry["silos"]:
        silo, rounding = one["silo"], Rounding(bytes.fromhex(one["rounding_seed"]))
        vector = np.empty(total.size, np.uint32)
        quantize(
            np.asarray(one["values"], np.float32), entry["limit"], entry["bits"], rounding, vector
        )
        assert vector.view(np.int32).tolist() == one["elements"]
        total += vector if silo not in entry["dropped"] else np.uint32(0)
        own = bytes.fromhex(one["own_seed"])
        plus = [seed for (a, _), seed in seeds.items() if a == silo]
        add_masks(vector, [own, *plus], [seed for (_, b), seed in seeds.items() if b == silo])
        assert vector.tobytes().hex() == one["vector"]
    assert total.tobytes().hex() == entry["sum"]["words"]


def test_shares_of_masking(vectors: dict[str, Any]) -> None:
    entry = vectors["masking"]["shares"]
    shares = {at: bytes.fromhex(entry["shares"][at - 1]) for at in entry["points"]}
    assert shamir.combine(shares, shamir.weights(entry["points"])).hex() == entry["secret"]
    sealed = vectors["masking"]["sealed_shares"]
    known = {one["silo"]: one for one in vectors["masking"]["silos"]}
    own, sender = known[sealed["to"]], known[sealed["from"]]
    secrets = RoundSecrets(bytes.fromhex(own["mask_key_private"] + own["share_key_private"]))
    binding = Binding(
        *(vectors["masking"][name] for name in ("round_id", "key_set_sha256", "base_sha256"))
    )
    content = bytes.fromhex(sealed["sealed"])
    opened = secrets.unseal(content, sender["share_key"], binding, sealed["to"], sealed["from"])
    assert opened.hex() == sealed["opened"]


@pytest.mark.parametrize("field", ["words", "vector", "seed", "share", "sealed"])
def test_a_false_vector_of_masking_is_found(vectors: dict[str, Any], field: str) -> None:
    entry = json.loads(json.dumps(vectors["masking"]))
    places = {
        "words": (entry["sum"], "words"),
        "vector": (entry["silos"][1], "vector"),
        "seed": (entry["pairs"][2], "seed"),
        "share": (entry["shares"]["shares"], 3),
        "sealed": (entry["sealed_shares"], "opened"),
    }
    holder, key = places[field]
    holder[key] = ("f" if holder[key][0] != "f" else "e") + holder[key][1:]
    with pytest.raises(AssertionError):
        check_masking(entry)
