"""The work of the protocol's benchmark that needs no other party, and its child processes.

`python -m benchmarks.protocol_work seal|open|aggregate BYTES` prints MB: by how much the memory of
a process rose that already holds the payload (for `open`: nothing); or what the aggregation of 20
updates of that size allocated at its peak.
"""

import hashlib
import io
import json
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nacl import bindings

from agent.boxes import Inbox
from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import new_sealing, new_signing
from agent.releases.arrival import verify_release
from agent.wire.averaging import step
from agent.wire.documents import (
    Member,
    Privacy,
    Recipe,
    Roster,
    UpdateCore,
)
from agent.wire.envelope import CHUNK_BYTES, Header, open_blob, seal, verify_header
from agent.wire.signed import key_id
from agent.wire.trusted import Trusted
from agent.wire.update import encode, pack
from benchmarks.protocol_parties import forget_peak, peak_mb, resident_mb
from consortium.aggregate import aggregate
from consortium.objects import put_object
from tests.kit.consortium import Consortium

_RECIPE = {
    "rounds": 1,
    "local_epochs": 1,
    "batch_size": 8,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "weighting": "uniform",
    "server_momentum": 0.0,
    "release_every": 1,
    "finetune_epochs": 0,
}
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_OVERHEAD = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_FINAL = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class _Nowhere(io.BytesIO):
    """Takes bytes and keeps none."""

    def write(self, piece: object, /) -> int:
        del piece
        return 0


class Bench:
    """A silo, a round's key, and a payload on disk, sealed in two ways.

    Args:
        root: Where the files are.
        size: The payload's length, in bytes.
    """

    def __init__(self, root: Path, size: int) -> None:
        self.root = root
        self.payload = np.random.default_rng(1).bytes(size)
        self.signer, self.recipient = new_signing("sign"), new_sealing("round")
        self.key = bytes(range(32))
        self.header = self.seal()
        self.bare_push()
        self.blob = (root / "blob").read_bytes()
        self.bare = (root / "bare").read_bytes()

    def seal(self) -> bytes:
        """Seals the payload into a file and signs the header, as a silo does."""
        with (self.root / "blob").open("wb") as sink:
            self.header = seal(
                self.payload, self._core(), self.recipient.public_hex, self.signer, sink
            )
        return self.header

    def seal_to_nowhere(self) -> None:
        """Does the same without a file: what sealing costs beside its cipher."""
        key = self.recipient.public_hex
        seal(self.payload, self._core(), key, self.signer, _Nowhere())

    def open_from_memory(self) -> bytes:
        """Opens the blob from memory."""
        header = verify_header(self.header, self.roster())
        return open_blob(header, io.BytesIO(self.blob), self.recipient)

    def only_push(self) -> None:
        """Encrypts the payload with the library alone and forgets it piece by piece."""
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_push(state, self.key)
        for at in range(0, len(self.payload), CHUNK_BYTES):
            piece = self.payload[at : at + CHUNK_BYTES]
            bindings.crypto_secretstream_xchacha20poly1305_push(state, piece)

    def only_pull(self) -> bytes:
        """Decrypts with the library alone, from memory."""
        return self._pull(io.BytesIO(self.bare))

    def open(self) -> bytes:
        """Verifies the header and opens the blob, as the aggregator does."""
        header = verify_header(self.header, self.roster())
        with (self.root / "blob").open("rb") as source:
            return open_blob(header, source, self.recipient)

    def bare_push(self) -> None:
        """Encrypts the payload into a file with the library alone."""
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        with (self.root / "bare").open("wb") as sink:
            sink.write(bindings.crypto_secretstream_xchacha20poly1305_init_push(state, self.key))
            for at in range(0, len(self.payload), CHUNK_BYTES):
                tag = _FINAL if at + CHUNK_BYTES >= len(self.payload) else 0
                piece = self.payload[at : at + CHUNK_BYTES]
                sink.write(
                    bindings.crypto_secretstream_xchacha20poly1305_push(state, piece, None, tag)
                )

    def bare_pull(self) -> bytes:
        """Decrypts the file with the library alone."""
        with (self.root / "bare").open("rb") as source:
            return self._pull(source)

    def _pull(self, source: BinaryIO) -> bytes:
        state = bindings.crypto_secretstream_xchacha20poly1305_state()
        parts, tag = [], 0
        start = source.read(bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES)
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, start, self.key)
        while tag != _FINAL:
            chunk = source.read(CHUNK_BYTES + _OVERHEAD)
            piece, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(state, chunk)
            parts.append(piece)
        return b"".join(parts)

    def _core(self) -> UpdateCore:
        return UpdateCore(
            consortium="bench",
            silo="silo-a",
            sequence=1,
            roster_version=1,
            roster_sha256="00" * 32,
            plan_id="p",
            round_id="r",
            attempt=1,
            base_sha256="00" * 32,
            feature_sha256="00" * 32,
            reference_sha256="00" * 32,
            agent_version="0",
            created=to_text(_NOW),
            expires=to_text(_NOW + timedelta(days=1)),
            recipient=key_id(self.recipient.public_hex),
            commitment="00" * 32,
            privacy=Privacy(),
            egress_head="00" * 32,
        )

    def roster(self) -> Roster:
        """Returns a roster of this one silo."""
        member = Member(
            silo="silo-a",
            legal_entity="",
            sign_key=self.signer.public_hex,
            seal_key="00" * 32,
            courier_key="00" * 32,
            not_before=to_text(_NOW),
            expires=to_text(_NOW + timedelta(days=1)),
        )
        return Roster(
            consortium="bench",
            version=1,
            issued=to_text(_NOW),
            expires=to_text(_NOW + timedelta(days=1)),
            members=(member,),
        )


class Release:
    """A release as files: a state of the release repository, and its objects in an inbox."""

    def __init__(self, root: Path, size: int) -> None:
        (root / "objects").mkdir(parents=True)
        self._consortium = Consortium()
        self._consortium.base = np.random.default_rng(1).bytes(size)
        self._inbox = Inbox(root)
        self._letter, manifest = self._consortium.release(1)
        self._weights = self._put(self._consortium.base)
        self._put(manifest)
        now = self._consortium.now
        self._trusted = Trusted(self._consortium.root, self._consortium.root_sha256, now)
        self._trusted.take_catalogue(self._consortium.signed_catalogue())
        self._trusted.take_plan(self._consortium.plan(), now)

    def _put(self, content: bytes) -> Path:
        path = self._inbox.object_path(sha256_bytes(content))
        path.write_bytes(content)
        return path

    def verify(self) -> None:
        """Verifies the release from its files, as the keeper does: metadata, manifest, weights."""
        where, now = self._inbox.object_path, self._consortium.now
        verify_release(self._letter, "stable", self._trusted, where, now, lambda _: 0)

    def hash(self) -> bytes:
        """Only hashes the weights."""
        with self._weights.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").digest()


@dataclass(frozen=True, slots=True)
class _Kept:
    """A sealed update on disk."""

    envelope_id: str
    header: Header
    path: Path

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with self.path.open("rb") as handle:
            yield handle


def _aggregation(size: int, silos: int = 20) -> float:
    """Returns what averaging and writing a round's result allocated at its peak, in MB."""
    shapes = {"trunk.counts.weight": (size // 4 // 500, 500)}
    delta = {name: np.full(shape, 1e-3, dtype=np.float32) for name, shape in shapes.items()}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), 1)
        bench.payload = pack(delta, {"trunk": 1.0})
        header = verify_header(bench.seal(), bench.roster())
        kept = [_Kept(str(number), header, Path(name) / "blob") for number in range(silos)]
        del bench.payload
        tracemalloc.start()
        found = aggregate(kept, bench.recipient, shapes, Recipe.model_validate(_RECIPE))
        weights, state = step(delta, found.delta, {}, 0.0)
        del state
        found.delta.clear()  # as `consortium.closing.move` does
        put_object(Path(name), encode(weights))
        return tracemalloc.get_traced_memory()[1] / 1_000_000


def _rise(what: str, size: int) -> float:
    """Returns by how many MB one operation raised this process's memory at its peak."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), size)
        if what == "open":
            bench.payload = b""
        bench.blob = bench.bare = b""
        step = bench.seal if what == "seal" else bench.open
        forget_peak()
        before = resident_mb()
        held = step()
        rise = peak_mb() - before
        del held
    return rise


if __name__ == "__main__":
    length = int(sys.argv[2])
    print(
        json.dumps(
            _aggregation(length) if sys.argv[1] == "aggregate" else _rise(sys.argv[1], length)
        )
    )
