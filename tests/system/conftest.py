"""What the system tests stand on: a bundle, a booted machine, a consortium behind a proxy."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.bundles import Bundles
from tests.system.far import Consortium
from tests.system.machine import Machine, missing
from tests.system.network import AGGREGATOR, PROXY, Network
from tests.system.proxy import Proxy

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.create_server((AGGREGATOR, 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return Bundles(ROOT, tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if why := missing():
        pytest.fail(f"The system tests boot a machine: {why}.")
    with Machine("onggi-test") as booted:
        yield booted


@pytest.fixture(scope="module")
def proxy(machine: Machine) -> Iterator[Proxy]:
    with Network(machine.leader), Proxy(PROXY) as listening:
        yield listening


@pytest.fixture(scope="module")
def consortium(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    folder = tmp_path_factory.mktemp("consortium") / "folder"
    far = Consortium(folder, AGGREGATOR, free_port())
    log = folder.parent / "aggregator.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "consortium", "serve", "--folder", str(folder)],
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    try:
        yield far
    finally:
        server.terminate()
        server.wait(120)
