"""Types what README.md tells pharma IT to type, as somebody would who has never seen it."""

import time

from tests.kit.readme import ENGLISH, commands
from tests.system.bundles import Bundles
from tests.system.far import Consortium
from tests.system.machine import Machine
from tests.system.network import AGGREGATOR, PROXY

_HERE = "/root/readme"
_ADMITTED_S = 300
# A machine without sudo, whose root types: it runs what follows. sudoedit opens the editor.
_SUDO = '#!/bin/sh\nexec env "$@"\n'
_SUDOEDIT = '#!/bin/sh\nexec "$EDITOR" "$@"\n'
_EDITOR = "#!/bin/sh\ncase $1 in */onggi.toml) cat {stores} >>$1 ;; esac\n"


class Reader:
    """A person at a machine, with the bundle and its key in a folder."""

    def __init__(self, machine: Machine, bundles: Bundles, stores: str) -> None:
        self._machine = machine
        here = machine.root / _HERE.lstrip("/")
        here.mkdir()
        for path in (bundles.of("cpu"), bundles.key):
            machine_path = here / path.name
            machine_path.write_bytes(path.read_bytes())
        (here / "stores.toml").write_text(stores)
        self._program("sudo", _SUDO)
        self._program("sudoedit", _SUDOEDIT)
        self._program("edit", _EDITOR.format(stores=f"{_HERE}/stores.toml"))
        # The way to the aggregator that a site has without a proxy.
        machine.run("ip", "route", "add", AGGREGATOR, "via", PROXY)

    def follow(self, consortium: Consortium, silo: str) -> list[str]:
        """Types every command in order and returns what was printed at each."""
        token = consortium.token(silo)
        said = []
        for command in commands(ENGLISH):
            if "TOKEN" in command:
                said.append(self._enrol(command.replace("TOKEN", token), consortium, silo))
            else:
                done = self._machine.run(*self._typed(command))
                said.append(done.stdout + done.stderr)
        return said

    def _enrol(self, command: str, consortium: Consortium, silo: str) -> str:
        waiting = self._machine.start(*self._typed(command))
        began = time.monotonic()
        while silo not in consortium.status()["pending"]:
            assert waiting.poll() is None, waiting.communicate()
            assert time.monotonic() - began < _ADMITTED_S
            time.sleep(0.5)
        consortium.admit(silo)
        said, _ = waiting.communicate(timeout=_ADMITTED_S)
        assert waiting.returncode == 0, said
        return said

    @staticmethod
    def _typed(command: str) -> tuple[str, ...]:
        return ("env", "EDITOR=edit", "bash", "-c", f"cd {_HERE} && {command}")

    def _program(self, name: str, text: str) -> None:
        path = self._machine.root / "usr/local/bin" / name
        path.write_text(text)
        path.chmod(0o755)
