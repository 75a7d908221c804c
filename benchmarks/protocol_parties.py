"""The two sides of the protocol's benchmark: a real aggregator process, and silos that only send.

Nothing is trained: a silo sends a constant step for every shared weight. Everything else is the
product's own: the courier's carrier, its resume points and log, the seal, the desk, the engine.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event

import numpy as np

from agent.boxes import Inbox, Outbox
from agent.clock import monotonic_s, now, rest, to_text
from agent.exchange.downlink import Downlink
from agent.exchange.enrol import Applicant, enrol
from agent.exchange.https import Https
from agent.exchange.places import Places
from agent.exchange.session import Link, Peer
from agent.exchange.transport_log import TransportLog
from agent.exchange.uplink import Uplink
from agent.features.spec import default_spec
from agent.files import sha256_bytes
from agent.keys import load_signing
from agent.wire.documents import Plan, Privacy, RoundManifest, UpdateCore
from agent.wire.envelope import seal
from agent.wire.network import expected_shapes
from agent.wire.signed import key_id, parse
from agent.wire.update import group_of, pack

REFERENCE = "ab" * 32
ENDPOINTS = ("logd", "solubility")
_PATIENCE_S = 120.0


def peak_mb(pid: int | str = "self") -> float:
    """Returns the most memory that a process has had since the last `forget_peak`, in MB."""
    return _memory_mb("VmHWM", pid)


def resident_mb(pid: int | str = "self") -> float:
    """Returns how much memory a process has now, in MB."""
    return _memory_mb("VmRSS", pid)


def forget_peak(pid: int | str = "self") -> None:
    """Lets the kernel count a process's peak anew (Linux, proc(5), `clear_refs`)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _memory_mb(field: str, pid: int | str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


@dataclass(frozen=True, slots=True)
class Consortium:
    """A serving aggregator."""

    folder: Path
    url: str
    pid: int

    def run(self, *arguments: str) -> str:
        """Runs one of its commands and returns what it printed."""
        command = [sys.executable, "-m", "consortium", *arguments, "--folder", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def publish(self, hidden: tuple[int, ...], quorum: int) -> None:
        """Publishes a plan of one round over a network with these hidden layers."""
        draft = {
            "plan_id": "p1",
            "endpoints": list(ENDPOINTS),
            "features": default_spec().model_dump(mode="json"),
            "reference_sha256": REFERENCE,
            "network": {"hidden": list(hidden), "dropout": 0.0, "seed": 1},
            "recipe": {
                "rounds": 1,
                "local_epochs": 1,
                "batch_size": 8,
                "learning_rate": 0.01,
                "weight_decay": 0.0,
                "weighting": "uniform",
                "server_momentum": 0.0,
                "release_every": 1,
                "finetune_epochs": 0,
            },
            "quorum": quorum,
            "round_deadline_s": 86_000.0,
        }
        path = self.folder.parent / "plan.json"
        path.write_text(json.dumps(draft))
        self.run("plan", str(path))


@contextmanager
def serving(root: Path) -> Iterator[Consortium]:
    """Founds a consortium on a loopback port and serves it for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    folder = root / "aggregator"
    start = [sys.executable, "-m", "consortium"]
    name = ["--consortium", "bench", "--no-tls", "--port", str(port)]
    subprocess.run([*start, "init", str(folder), *name], check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(
        [*start, "serve", "--folder", str(folder)], stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield Consortium(folder, f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    until_s = monotonic_s() + _PATIENCE_S
    while monotonic_s() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            rest(Event(), 0.1)
        else:
            return
    raise TimeoutError("The aggregator does not answer.")


class Silo:
    """A silo that sends and receives as the courier does, and does not learn."""

    def __init__(self, name: str, consortium: Consortium, root: Path) -> None:
        self.name = name
        self.places = Places.under(root / name)
        token = consortium.run("token", name)
        enrol(token, self.places, Applicant("", REFERENCE), clock=now)
        self.inbox, self.outbox = Inbox(self.places.inbox), Outbox(self.places.outbox)
        self._log = TransportLog(self.places.courier / "transport.ndjson")
        courier = load_signing(self.places.courier_key, "courier")
        peer = Peer(consortium.url, None)
        self._link = Link(peer, name, courier, transport_log=self._log, clock=now)
        carrier = Https(self._link, poll_s=1)
        memory = self.places.courier
        self._up = Uplink(carrier, self.outbox, self.inbox, memory / "answered.json")
        self._down = Downlink(carrier, self.inbox, memory / "feed.json")
        self._sign = load_signing(self.places.keys / "sign.key", "sign")

    def close(self) -> None:
        """Closes the connection and the log."""
        self._link.close()
        self._log.close()

    def wait_for(self, kind: str) -> bytes:
        """Follows the feed until a document of this kind is in the inbox; returns its payload."""
        while True:
            for letter in self.inbox.letters():
                if letter.kind == kind:
                    return parse(letter.content).payload
            self._down.step(now())

    def skip_objects(self) -> None:
        """Says that every object is here already, where only sending is measured."""
        self._down = _Bare(self._link, self.inbox, self.places.courier / "feed.json")

    def send(self, payload: bytes) -> None:
        """Seals an update for the round and delivers it.

        Raises:
            OnggiError: The aggregator is away, or refuses the request.
        """
        plan = Plan.parse(self.wait_for("plan"))
        manifest = RoundManifest.parse(self.wait_for("round"))
        core = _core(self.name, plan, manifest)
        envelope_id = self.outbox.stage(
            lambda sink: seal(payload, core, manifest.seal_key, self._sign, sink)
        )
        self.outbox.post(envelope_id)
        if self._up.step(now()) != 1:
            raise RuntimeError(f"{self.name} got no answer to its update.")
        self.outbox.remove(envelope_id)


class _Bare(Downlink):
    """Takes documents without the weights that they name."""

    def __init__(self, link: Link, inbox: Inbox, memory: Path) -> None:
        super().__init__(Https(link, poll_s=1), inbox, memory)

    def _fetch(self, wanted: object) -> None:
        del wanted


def _core(silo: str, plan: Plan, manifest: RoundManifest) -> UpdateCore:
    return UpdateCore(
        consortium=plan.consortium,
        silo=silo,
        sequence=1,
        roster_version=1,
        roster_sha256="00" * 32,
        plan_id=plan.plan_id,
        round_id=manifest.round_id,
        attempt=manifest.attempt,
        base_sha256=manifest.base_sha256,
        feature_sha256=sha256_bytes(plan.features.to_bytes()),
        reference_sha256=REFERENCE,
        agent_version="0",
        created=to_text(now()),
        expires=to_text(now() + timedelta(days=1)),
        recipient=key_id(manifest.seal_key),
        commitment="00" * 32,
        privacy=Privacy(),
        egress_head="00" * 32,
    )


def update_of(plan: Plan) -> bytes:
    """Returns an update of every shared weight."""
    shapes = expected_shapes(plan.network, plan.features, plan.endpoints)
    delta = {name: np.full(shape, 1e-3, dtype=np.float32) for name, shape in shapes.items()}
    return pack(delta, {group_of(name): 1.0 for name in delta})


def enrolled(count: int, consortium: Consortium, root: Path) -> Sequence[Silo]:
    """Enrols so many silos."""
    return [Silo(f"silo-{number:03d}", consortium, root) for number in range(count)]
