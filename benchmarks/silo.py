"""An enrolled silo with a real keeper, for benchmarks: one store, one plan, no network."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from agent.boxes import Inbox
from agent.clock import monotonic_s, now, to_text
from agent.config import Paths
from agent.errors import Stop
from agent.features.reference import reference_sha256
from agent.features.spec import default_spec
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, make_identity, new_signing
from agent.wire.documents import (
    Enrolment,
    Member,
    NetworkSpec,
    Plan,
    Privacy,
    Recipe,
    RoleKeys,
    Roster,
    TrustRoot,
)
from agent.wire.signed import key_id, sign
from consortium.catalogue import default_catalogue

NAME, SILO = "benchmark", "silo-a"
HEADS = ("caco2_papp", "cyp3a4_ic50", "hlm_clint", "logd", "solubility")
MIB = 1 << 20

_CONFIG = """\
[site]
state = "{root}/state"
[training]
device = "cpu"
min_labels = 1000000000 # nothing is trained: this measures the way to "ready to train"
[[store]]
name = "bench"
kind = "table"
path = "{root}/store"
profile = "{root}/profile.toml"
"""
_POLL_S = 0.05


def enrol(root: Path, profile: str) -> Paths:
    """Makes a silo's folders, store, trust and plan; a silo that is there already is kept."""
    paths = Paths(root / "state")
    if (root / "onggi.toml").exists():
        return paths
    (root / "store").mkdir(parents=True)
    (root / "profile.toml").write_text(profile, encoding="utf-8")
    paths.create()
    _trust(paths, now())
    (root / "onggi.toml").write_text(_CONFIG.format(root=root), encoding="utf-8")
    return paths


def _trust(paths: Paths, at: datetime) -> None:
    offline = new_signing("root")
    start, end = to_text(at), to_text(at + timedelta(days=300))
    root = TrustRoot(
        consortium=NAME,
        version=1,
        roles=dict.fromkeys(("root", "roster", "plan", "aggregator"), _role(offline)),
        expires=end,
    )
    identity = make_identity(paths.keys, paths.courier)
    member = Member(
        silo=SILO,
        legal_entity="Benchmark",
        sign_key=identity.sign.public_hex,
        seal_key=identity.seal.public_hex,
        courier_key=identity.courier.public_hex,
        not_before=start,
        expires=end,
    )
    roster = Roster(consortium=NAME, version=1, issued=start, expires=end, members=(member,))
    catalogue = default_catalogue(NAME)
    for name, document in (("root", root), ("roster", roster), ("catalogue", catalogue)):
        signed = sign(name, document.to_bytes(), offline)
        (paths.trust / f"{name}.json").write_bytes(signed)
    note = Enrolment(
        silo=SILO,
        consortium=NAME,
        url="http://127.0.0.1:1",
        root_sha256=sha256_bytes(root.to_bytes()),
        enrolled=start,
    )
    (paths.trust / "enrolment.json").write_bytes(note.to_bytes())
    plan = _plan(sha256_bytes(catalogue.to_bytes()), start, end)
    Inbox(paths.inbox).put_published(1, "plan", sign("plan", plan.to_bytes(), offline))


def _role(identity: SigningIdentity) -> RoleKeys:
    return RoleKeys(threshold=1, keys={key_id(identity.public_hex): identity.public_hex})


def _plan(catalogue_sha256: str, start: str, end: str) -> Plan:
    features = default_spec()
    return Plan(
        consortium=NAME,
        plan_id="p1",
        version=1,
        catalogue_sha256=catalogue_sha256,
        endpoints=HEADS,
        features=features,
        reference_sha256=reference_sha256(features),
        network=NetworkSpec(hidden=(8,), dropout=0.0, seed=1),
        recipe=_recipe(),
        privacy=Privacy(),
        participants=(SILO,),
        quorum=1,
        round_deadline_s=900.0,
        fold_key="00" * 32,
        not_before=start,
        expires=end,
    )


def _recipe() -> Recipe:
    return Recipe(
        rounds=1,
        local_epochs=1,
        batch_size=16,
        learning_rate=0.01,
        weight_decay=0.0,
        weighting="n",
        server_momentum=0.0,
        release_every=1,
        finetune_epochs=1,
    )


@dataclass
class Memory:
    """The most that processes held, in bytes of resident memory: the keeper, and any worker."""

    keeper: int = 0
    worker: int = 0
    at_worst: str = ""


@dataclass
class Running:
    """A keeper process, and a thread that watches its memory and that of its workers."""

    root: Path
    memory: Memory = field(default_factory=Memory)

    def __enter__(self) -> "Running":
        command = [sys.executable, "-m", "agent", "--config", str(self.root / "onggi.toml")]
        with (self.root / "keeper.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "keeper"], stdout=log, stderr=log)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._process.terminate()
        self._process.wait()

    def _watch(self) -> None:
        keeper = psutil.Process(self._process.pid)
        while not self._over.wait(_POLL_S):
            with suppress(psutil.Error):
                self.memory.keeper = max(self.memory.keeper, _peak(keeper.pid))
                for child in keeper.children(recursive=True):
                    self._note(child.pid)

    def _note(self, child: int) -> None:
        peak = _peak(child)
        if peak > self.memory.worker:
            self.memory.worker = peak
            self.memory.at_worst = _kind(self.root / "state" / "jobs")

    def wait_frozen(self, snapshots: int, patience_s: float) -> float:
        """Waits until that many snapshots are frozen, which is "ready to train".

        Returns:
            The seconds that it took.

        Raises:
            Stop: It took too long, or the keeper died.
        """
        return self._wait(lambda: frozen(self.root) >= snapshots, patience_s)

    def wait_idle(self, patience_s: float) -> float:
        """Waits until no job waits or runs; returns and raises as `wait_frozen`."""
        return self._wait(lambda: not busy(self.root), patience_s)

    def _wait(self, is_so: Callable[[], bool], patience_s: float) -> float:
        started_s = monotonic_s()
        while (taken_s := monotonic_s() - started_s) < patience_s and self._process.poll() is None:
            if is_so():
                return taken_s
            time.sleep(_POLL_S)
        raise Stop(f"The keeper did not get ready; see {self.root / 'keeper.log'}.")


def _peak(pid: int) -> int:
    """Returns the most resident memory that a process ever had (`VmHWM`, in bytes)."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _kind(jobs: Path) -> str:
    with suppress(OSError):
        return ",".join(sorted(path.name.split("-")[0] for path in jobs.iterdir()))
    return ""


def frozen(root: Path) -> int:
    """Returns how many snapshots were frozen so far."""
    return _count(root, "SELECT COUNT(*) FROM transition WHERE kind='snapshot' AND after='frozen'")


def busy(root: Path) -> bool:
    """Tells whether a job waits or runs."""
    query = "SELECT COUNT(*) FROM item WHERE kind='job' AND state IN ('queued', 'started')"
    return _count(root, query) > 0


def _count(root: Path, query: str) -> int:
    path = root / "state" / "ledger.sqlite3"
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute(query).fetchone()[0])
    return 0  # the keeper has not made it yet
