"""One silo on disk: its configuration, its stores, and its processes started for real."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.boxes import Outbox
from agent.clock import now
from agent.config import Config, Paths, load
from agent.errors import Stop
from agent.features.reference import reference_sha256
from agent.keeper.trial import Account, file_accounts
from agent.ledger.book import Item, Ledger
from agent.ledger.states import Kind
from tests.kit import measurements
from tests.kit.consortium import FEATURES, Consortium, Courier

_PATIENCE_S = 240.0  # how long a test waits before it says what it waits for; none takes this long

_CONFIG = """\
[site]
state = "{root}/state"
[keeper]
sweep_s = 1.0
settle_s = 0.6
[training]
device = "cpu"
threads = 1
min_labels = 5
quorum_labels = 10
quorum_uncensored = 5
[gate]
min_labels = 5
[serve]
port = {port}
[[store]]
name = "book"
kind = "kmelloddy"
path = "{root}/stores/book"
[[store]]
name = "wide"
kind = "table"
path = "{root}/stores/wide"
profile = "{root}/wide.toml"
[[store]]
name = "mols"
kind = "sdf"
path = "{root}/stores/mols"
profile = "{root}/sdf.toml"
[[store]]
name = "lims"
kind = "database"
url = "sqlite:///{root}/lims.sqlite3"
query = "SELECT * FROM measurement"
watermark = "updated_at"
key = "id"
profile = "{root}/long.toml"
"""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Silo:
    """A silo that a kit's consortium enrolled.

    Attributes:
        root: The folder of everything.
        port: Where predict listens.
    """

    root: Path
    port: int = field(default_factory=_free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("book", "wide", "mols"):
            (self.root / "stores" / name).mkdir(parents=True)
        (self.root / "wide.toml").write_text(measurements.WIDE_PROFILE)
        (self.root / "sdf.toml").write_text(measurements.SDF_PROFILE)
        (self.root / "long.toml").write_text(measurements.LONG_PROFILE)
        self.config_path = self.root / "onggi.toml"
        self.config_path.write_text(_CONFIG.format(root=self.root, port=self.port))
        self.config: Config = load(self.config_path)
        self.paths = Paths(self.config.site.state)
        self.consortium = Consortium(now(), reference_sha256(FEATURES))
        self.consortium.enrol(self.paths)
        self.courier = Courier(self.paths.inbox)

    def store(self, name: str) -> Path:
        return self.root / "stores" / name

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the agent to its end."""
        command = [sys.executable, "-m", "agent", "--config", str(self.config_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def start(self, service: str) -> subprocess.Popen[bytes]:
        """Starts a service; its log goes to a file beside the state."""
        command = [sys.executable, "-m", "agent", "--config", str(self.config_path), service]
        with (self.root / f"{service}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def end(self) -> None:
        """Ends whatever runs."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def ledger(self) -> Ledger:
        return Ledger(self.paths.ledger, read_only=True)

    def items(self, kind: Kind) -> dict[str, Item]:
        try:
            with self.ledger() as ledger:
                return {item.id: item for item in ledger.find(kind)}
        except Stop:  # the keeper has not made it yet, or made the file and not its tables
            return {}

    def states(self, kind: Kind) -> dict[str, str]:
        return {item.id: item.state for item in self.items(kind).values()}

    def accounts(self) -> dict[str, Account]:
        """Every file's account by its name."""
        with self.ledger() as ledger:
            return {entry["file"]: entry for entry in file_accounts(ledger, self.paths.parts)}

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Waits until something is so; it fails with the keeper's last lines otherwise."""
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            if is_so():
                return
            time.sleep(0.1)
        raise AssertionError(f"never: {what}\n{self.last_lines()}")

    def last_lines(self) -> str:
        lines = (self.root / "keeper.log").read_text().splitlines()
        return "\n".join(lines[-15:])

    def wait_for(self, kind: Kind, item_id: str, *states: str) -> None:
        self.wait(f"{kind} {item_id} {states}", lambda: self.states(kind).get(item_id) in states)

    def parcels(self) -> list[str]:
        return [parcel.envelope_id for parcel in Outbox(self.paths.outbox).parcels()]

    def worker(self, keeper: subprocess.Popen[bytes]) -> int | None:
        """The process id of the keeper's worker, while there is one."""
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
        try:
            found = children.read_text().split()
        except OSError:
            return None
        return int(found[0]) if found else None

    def kill_worker(self, keeper: subprocess.Popen[bytes]) -> bool:
        worker = self.worker(keeper)
        if worker is None:
            return False
        try:
            os.kill(worker, signal.SIGKILL)
        except ProcessLookupError:  # it has just ended
            return False
        return True
