"""The consortium that the machine joins: the real commands, on this machine."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.features.spec import default_spec

ROOT = Path(__file__).parents[2]
_PLAN = {
    "plan_id": "system",
    "endpoints": ["logbb"],
    "features": default_spec().model_dump(mode="json"),
    "network": {"hidden": [16], "dropout": 0.0, "seed": 7},
    "recipe": {
        "rounds": 2,
        "local_epochs": 3,
        "batch_size": 32,
        "learning_rate": 0.002,
        "weight_decay": 0.0001,
        "weighting": "sqrt_n",
        "server_momentum": 0.0,
        "release_every": 2,
        "finetune_epochs": 2,
    },
    "quorum": 1,
    "round_deadline_s": 600.0,
}


class Consortium:
    """A consortium founded in a folder; the test starts its server."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder = folder
        self.ask("init", str(folder), "--consortium", "system", "--host", host, "--port", str(port))

    def ask(self, *words: str, fine: Sequence[int] = (0,)) -> str:
        """Runs a command of the consortium and returns what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "consortium", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in fine, done.stdout + done.stderr
        return done.stdout

    def token(self, silo: str) -> str:
        """Returns a one-time token."""
        return self.ask("token", silo, "--folder", str(self._folder)).strip()

    def admit(self, silo: str) -> None:
        """Lets two officers admit a silo."""
        self.ask("roster", "admit", silo, *self._officers())

    def revoke(self, silo: str) -> None:
        """Lets two officers shut a silo out for good."""
        self.ask("roster", "revoke", silo, *self._officers())

    def publish_plan(self) -> None:
        """Publishes a plan of two rounds."""
        draft = self._folder.parent / "plan.json"
        draft.write_text(json.dumps(_PLAN))
        self.ask("plan", str(draft), *self._officers())

    def status(self) -> dict[str, Any]:
        """Returns what it says of itself."""
        said = self.ask("status", "--json", "--folder", str(self._folder), fine=(0, 1, 75))
        found: dict[str, Any] = json.loads(said)
        return found

    def until_released(self, limit_s: float = 240) -> None:
        """Waits until a release was published."""
        began = time.monotonic()
        while not list((self._folder / "objects").glob("*")) or "release" not in json.dumps(
            self.status()
        ):
            assert time.monotonic() - began < limit_s, self.status()
            time.sleep(1)

    def _officers(self) -> tuple[str, ...]:
        keys = (str(self._folder / "offline" / f"officer-{number}.key") for number in (1, 2))
        signed = (word for key in keys for word in ("--key", key))
        return (*signed, "--folder", str(self._folder))
