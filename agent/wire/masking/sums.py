"""The masked sum, computed from published seeds: by the aggregator, and again by any silo."""

from collections.abc import Callable

import numpy as np

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.averaging import Sums
from agent.wire.masking.documents import Publication
from agent.wire.masking.prg import Words, add_masks
from agent.wire.masking.seeds import commitment
from agent.wire.masking.sets import Keys, Uploads


def unmasked(
    publication: Publication, keys: Keys, uploads: Uploads, vector_of: Callable[[str], bytes]
) -> Words:
    """Adds the masked vectors up and takes off what is left of the masks.

    Args:
        publication: With the revealed seeds; its sum's hash is not looked at.
        keys: U1.
        uploads: U2.
        vector_of: Gives a silo's vector; asked for one after the other.

    Raises:
        Refused: `wrong_seeds` (not those that the uploads committed to, or not all of them, or
            more), or `wrong_vector` (other bytes than the silo signed).
    """
    check_seeds(publication, keys, uploads)
    total = np.zeros(keys.layout.words, dtype=np.uint32)
    for silo in uploads.uploads:
        np.add(total, checked_vector(uploads, silo, vector_of(silo)), out=total)
    added, taken = [*publication.own.values()], list[str]()
    for silo, pairs in publication.pairs.items():
        for dropped, seed in pairs.items():
            (added if dropped > silo else taken).append(seed)
    # What the silos added is taken off, and what they took off is added.
    add_masks(total, map(bytes.fromhex, taken), map(bytes.fromhex, added))
    return total


def replay(
    publication: Publication, keys: Keys, uploads: Uploads, vector_of: Callable[[str], bytes]
) -> Sums:
    """Computes the sum again, and checks that it is the published one, bit by bit.

    Args:
        publication: Its signature was checked.
        keys: U1, as this silo believed it.
        uploads: U2, as this silo acknowledged it.
        vector_of: As for `unmasked`.

    Raises:
        Refused: `wrong_round`, `wrong_manifest`, `wrong_key_set`, `wrong_upload_set`, `wrong_sum`,
            or a code of `unmasked`.
    """
    setting = keys.setting
    named = (
        ("wrong_round", publication.round_id, setting.manifest.round_id),
        ("wrong_manifest", publication.manifest_sha256, setting.manifest_sha256),
        ("wrong_key_set", publication.key_set_sha256, keys.sha256),
        ("wrong_upload_set", publication.upload_set_sha256, uploads.sha256),
    )
    for code, told, known in named:
        if told != known:
            raise Refused(code, "The published sum is of another round, or of other messages.")
    total = unmasked(publication, keys, uploads, vector_of)
    if sha256_bytes(total.tobytes()) != publication.sum_sha256:
        raise Refused("wrong_sum", "The published sum is not what its vectors and seeds come to.")
    return keys.layout.read(total)


def checked_vector(uploads: Uploads, silo: str, content: bytes) -> Words:
    """Reads a masked vector whose hash its silo signed.

    Raises:
        Refused: `wrong_vector`.
    """
    upload = uploads.uploads[silo]
    if len(content) != 4 * upload.words or sha256_bytes(content) != upload.vector_sha256:
        raise Refused("wrong_vector", f"The vector of {silo} is not the one that it signed.")
    return np.frombuffer(content, dtype="<u4")


def check_seeds(publication: Publication, keys: Keys, uploads: Uploads) -> None:
    """Checks that exactly the seeds which the sum needs are published, as committed to.

    Raises:
        Refused: `wrong_seeds`.
    """
    dropped = {silo for silo in keys.keys if silo not in uploads.uploads}
    own = {silo: one.own_sha256 for silo, one in uploads.uploads.items()}
    pairs = {
        silo: {other: one.pair_sha256[other] for other in dropped}
        for silo, one in uploads.uploads.items()
        if dropped
    }
    told = {silo: commitment(bytes.fromhex(seed)) for silo, seed in publication.own.items()}
    told_pairs = {
        silo: {other: commitment(bytes.fromhex(seed)) for other, seed in of_silo.items()}
        for silo, of_silo in publication.pairs.items()
    }
    if told != own or told_pairs != pairs:
        raise Refused("wrong_seeds", "The published seeds are not those that the silos used.")
