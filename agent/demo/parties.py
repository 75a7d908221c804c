"""The processes of the demo: the aggregator, and per silo what `onggi run` starts."""

import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.demo.silos import Silo
from agent.errors import EXIT_STOP, EXIT_TRY_LATER, OnggiError, Stop, TryLater

_WAIT_S, _PAUSE_S = 120.0, 0.2  # a service that died often waits for half a minute
_TIMEOUT_S = 10.0
_TRIES = 5


def free_ports(count: int) -> list[int]:
    """Returns ports of the loopback address that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def ask(module: str, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
    """Runs a command of the agent or the consortium to its end and returns what it printed.

    One that is killed is run again: a question may be repeated, and so may an enrolment.

    Args:
        module: The program.
        arguments: Of its command line.
        fine: Exit codes that are no failure.

    Raises:
        OnggiError: It failed; its own sentence is passed on.
    """
    command = [sys.executable, "-m", module, *arguments]
    word = arguments[2] if arguments[0] == "--config" else arguments[0]
    for _ in range(_TRIES):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode in fine:
            return done.stdout
        if done.returncode > 0:
            sentence = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise OnggiError(f"`{module} {word}` failed: {sentence}")
    raise OnggiError(f"`{module} {word}` was killed {_TRIES} times; start the demo again.")


@dataclass(slots=True)
class Party:
    """A process that is started again whenever it is found dead."""

    name: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = field(default=0)

    def keep_alive(self) -> None:
        """Starts the process if it is not running.

        Raises:
            Stop: It said that starting it again cannot help.
        """
        if self.process is not None and self.process.poll() is None:
            return
        if self.process is not None and self.process.returncode == EXIT_STOP:
            lines = self.log.read_text(errors="replace").splitlines()
            raise Stop(f"{self.name} stopped: {lines[-1] if lines else 'it said nothing'}")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command], stdout=log, stderr=log
            )
        self.starts += 1

    def end(self) -> None:
        """Asks the process to stop, and waits."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass(frozen=True, slots=True)
class Aggregator:
    """The consortium of the demo."""

    folder: Path
    port: int

    def found(self) -> Party:
        """Founds the consortium and returns its server, not started yet."""
        name = ("--consortium", "onggi-demo", "--port", str(self.port))
        ask("consortium", "init", str(self.folder), *name)
        command = ("consortium", "serve", "--folder", str(self.folder))
        return Party("aggregator", command, self.folder.parent / "aggregator.log")

    def wait(self) -> dict[str, Any]:
        """Waits until it answers, and returns what it says of its rounds.

        Raises:
            TryLater: It does not.
        """
        until_s = time.monotonic() + _WAIT_S
        while time.monotonic() < until_s:
            if (status := self.status()) is not None:
                return status
            time.sleep(_PAUSE_S)
        raise TryLater(f"The aggregator does not answer; see {self.folder.parent}/aggregator.log.")

    def status(self) -> dict[str, Any] | None:
        """Returns what the aggregator says of its rounds, or None while it is away."""
        context = ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))
        return fetch(f"https://127.0.0.1:{self.port}/v1/status", context=context)

    def publish_plan(self, draft: dict[str, Any]) -> None:
        """Signs and publishes a plan."""
        path = self.folder.parent / "plan.json"
        path.write_text(json.dumps(draft, indent=1), encoding="utf-8")
        ask("consortium", "plan", str(path), *self.officers())

    def officers(self) -> tuple[str, ...]:
        """Returns the options by which two of the three officers sign at once."""
        keys = (str(self.folder / "offline" / f"officer-{number}.key") for number in (1, 2))
        signed = (option for key in keys for option in ("--key", key))
        return (*signed, "--folder", str(self.folder))


def enrol(aggregator: Aggregator, silo: Silo) -> Party:
    """Enrols a silo with a one-time token and returns its `onggi run`, not started yet.

    The silo asks, two officers whose keys are at hand admit it, and it asks again.
    """
    entity = ("--legal-entity", silo.entity, "--folder", str(aggregator.folder))
    token = ask("consortium", "token", silo.name, *entity).strip()
    enroll = ("--config", str(silo.config), "enroll", "--token", token, "--no-wait")
    ask("agent", *enroll, fine=(EXIT_TRY_LATER,))
    ask("consortium", "roster", "admit", silo.name, *aggregator.officers())
    ask("agent", *enroll)
    command = ("agent", "--config", str(silo.config), "run", "--supervised")
    return Party(silo.name, command, silo.folder / "onggi.log")


def fetch(
    url: str, body: dict[str, Any] | None = None, context: ssl.SSLContext | None = None
) -> dict[str, Any] | None:
    """Fetches JSON from a loopback address; None while nothing (good) answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - the demo's own loopback addresses
        url, data, {"Content-Type": "application/json"}
    )
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT_S) as answer:
            content: dict[str, Any] = json.loads(answer.read())
            return content
    except (urllib.error.URLError, OSError, ValueError):
        return None


def insist(
    url: str, body: dict[str, Any], revive: Callable[[], None], limit_s: float = _WAIT_S
) -> dict[str, Any] | None:
    """Fetches JSON, again and again: who answers may have died a moment ago and just be starting.

    Args:
        url: A loopback address.
        body: The question.
        revive: Starts again who has died; called after each failure.
        limit_s: After how long to give up and return None.
    """
    until_s = time.monotonic() + limit_s
    while (answer := fetch(url, body)) is None and time.monotonic() < until_s:
        revive()
        time.sleep(_PAUSE_S)
    return answer
