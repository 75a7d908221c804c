"""A silo without a connection: everything goes by a folder, between real processes."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.boxes import Inbox, Outbox
from agent.errors import EXIT_STOP, EXIT_TRY_LATER, EXIT_USAGE
from agent.features.spec import default_spec
from agent.files import sha256_bytes
from agent.releases import folder as releases
from agent.wire.carrying import feed_name
from agent.wire.documents import Feed, FeedItem
from tests.kit import measurements
from tests.kit.consortium import RECIPE
from tests.kit.silo import Silo, _free_port

# Ends the process with this status at the first thing that has to do with the network.
_WITNESS = """\
import os, sys
def _witness(event, arguments):
    if event.startswith("socket."):
        os.write(2, f"{event} {arguments}".encode())
        os._exit(97)
sys.addaudithook(_witness)
"""
_PATIENCE_S = 600.0


class Aggregator:
    """A real aggregator; silos reach it over HTTP to enrol, and by the stick after that."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "aggregator"
        self.stick = root / "stick"
        self.stick.mkdir()
        port = str(_free_port())
        name = ("--consortium", "demo", "--no-tls", "--port", port)
        self.run("init", str(self.folder), *name, at=False)
        command = [sys.executable, "-m", "consortium", "serve", "--folder", str(self.folder)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def run(self, *arguments: str, at: bool = True) -> str:
        command = [sys.executable, "-m", "consortium", *arguments]
        command += ["--folder", str(self.folder)] if at else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def carry(self) -> dict[str, object]:
        where = ("--in", str(self.stick), "--out", str(self.stick), "--json")
        content: dict[str, object] = json.loads(self.run("carry", *where))
        return content

    def publish_plan(self) -> None:
        draft = {
            "plan_id": "p1",
            "endpoints": ["logbb", "solubility"],
            "features": default_spec().model_dump(mode="json"),
            "network": {"hidden": [16], "dropout": 0.0, "seed": 7},
            "recipe": RECIPE.model_copy(update={"rounds": 1}).model_dump(),
            "quorum": 1,
            "round_deadline_s": 900.0,
        }
        path = self.folder.parent / "plan.json"
        path.write_text(json.dumps(draft))
        self.run("plan", str(path))

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    silo = Silo(tmp_path)
    yield silo
    silo.end()


@pytest.fixture
def aggregator(tmp_path: Path) -> Iterator[Aggregator]:
    aggregator = Aggregator(tmp_path)
    yield aggregator
    aggregator.end()


def _by_folder(silo: Silo, watched: Path | None) -> None:
    section = '\n[exchange]\ncarrier = "folder"\n'
    section += "" if watched is None else f'folder = "{watched}"\n'
    silo.config_path.write_text(silo.config_path.read_text() + section)


def _enrol(silo: Silo, aggregator: Aggregator) -> None:
    """Replaces what the kit pinned by what the real aggregator says."""
    for name in ("keys", "trust", "courier"):
        shutil.rmtree(silo.paths.state / name)
    token = aggregator.run("token", "silo-a")

    def enrolled() -> bool:
        done = silo.run("enroll", "--token", token)
        assert done.returncode in {0, EXIT_TRY_LATER}, done.stderr
        return done.returncode == 0

    _until("an enrolment", enrolled)


def _until(what: str, is_so: Callable[[], bool], pause_s: float = 0.2) -> None:
    until_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s, f"never: {what}"
        time.sleep(pause_s)


@pytest.mark.slow
def test_a_round_and_its_release_go_by_folder_alone(silo: Silo, aggregator: Aggregator) -> None:
    _by_folder(silo, None)
    _enrol(silo, aggregator)
    aggregator.publish_plan()
    rows = [measurements.logbb(*row) for row in measurements.compounds(range(1, 9))]
    rows = [(*row[:4], "", *row[5:]) for row in rows]  # the real catalogue takes no species
    measurements.workbook(silo.store("book") / "a.xlsx", rows)
    silo.start("keeper")

    def trip() -> bool:
        """What the person with the stick does."""
        for arguments in (("--out", str(aggregator.stick)), ("--in", str(aggregator.stick))):
            done = silo.run("carry", *arguments)
            assert done.returncode == 0, done.stderr
            aggregator.carry()
        return releases.active_id(silo.paths.releases) is not None

    _until(f"a release on trial\n{silo.last_lines()}", trip)
    (envelope,) = silo.items("update").values()
    assert envelope.state == "acknowledged"
    assert silo.parcels() == []
    counted = json.loads(aggregator.run("status", "--json"))["rounds"][0]["counted"]
    assert [one["silo"] for one in counted] == ["silo-a"]


def test_a_courier_that_watches_a_folder_opens_no_socket(silo: Silo, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    _by_folder(silo, stick)
    (tmp_path / "witness").mkdir()
    (tmp_path / "witness" / "sitecustomize.py").write_text(_WITNESS)
    outbox = Outbox(silo.paths.outbox)
    envelope_id = outbox.stage(lambda sink: (sink.write(b"blob") and b"header") or b"")
    outbox.post(envelope_id)
    command = [sys.executable, "-m", "agent", "--config", str(silo.config_path), "courier"]
    here = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command, env={"PYTHONPATH": f"{tmp_path / 'witness'}:{here}"}, stderr=subprocess.PIPE
    )
    silo.processes.append(process)
    up = stick / "up" / "silo-a"

    def written() -> bool:
        assert process.poll() is None, process.stderr and process.stderr.read()
        return (up / f"{envelope_id}.header").exists()

    _until("the envelope on the stick", written)
    _until("the request on the stick", (up / "request").exists)
    item = FeedItem(number=1, kind="plan", document="c2lnbmVk")
    content = Feed(items=(item,), last=1).to_bytes()
    down = stick / "down" / "silo-a"
    down.mkdir(parents=True)
    (down / feed_name(0, sha256_bytes(content))).write_bytes(content)
    inbox = Inbox(silo.paths.inbox)
    _until("the letter", lambda: [one.content for one in inbox.letters()] == [b"signed"])
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0, process.stderr and process.stderr.read()
    assert process.stderr is not None
    process.stderr.close()


def test_the_witness_sees_a_socket(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_WITNESS)
    command = [sys.executable, "-c", "import socket; socket.socket()"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == 97


def test_carrying_says_what_is_missing(silo: Silo, tmp_path: Path) -> None:
    _by_folder(silo, None)
    assert silo.run("carry").returncode == EXIT_USAGE
    away = silo.run("carry", "--in", str(tmp_path / "nowhere"))
    assert away.returncode == EXIT_TRY_LATER
    assert "plug the stick in" in away.stderr
    courier = silo.run("courier")
    assert courier.returncode == EXIT_STOP
    assert "onggi carry" in courier.stderr
    (tmp_path / "stick").mkdir()
    done = silo.run("carry", "--out", str(tmp_path / "stick"), "--json")
    assert json.loads(done.stdout) == {"brought": 0, "answered": 0, "waiting": 0, "asides": []}
    said = silo.run("carry", "--out", str(tmp_path / "stick"), "--in", str(tmp_path / "stick"))
    assert "0 signed files came in" in said.stdout
