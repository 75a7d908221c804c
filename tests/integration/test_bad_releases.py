"""Four bad releases in the demo: every silo refuses or rolls back, and its endpoint answers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SILOS = {"silo-a", "silo-b", "silo-c"}
ENDS = {
    "worse": "refused",
    "does_not_load": "rolled back",
    "wrong_golden": "refused",
    "bad_weights": "refused",
}


def test_a_bad_release_reaches_no_chemist(tmp_path: Path) -> None:
    folder, figures = tmp_path / "demo", tmp_path / "figures.json"
    command = [sys.executable, "-m", "agent", "demo", "--bad-releases", "--rounds", "2"]
    command += ["--folder", str(folder), "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(figures.read_bytes())["bad_releases"]
    assert {(row["silo"], row["reason"]) for row in rows} == {
        (silo, reason) for silo in SILOS for reason in ENDS
    }
    for row in rows:
        assert row["state"] == ENDS[row["reason"]]
        assert row["answered"] == row["asked"] > 0
        assert row["learned"] == f"refused: {row['reason']}"
    for silo in sorted(SILOS):
        _check_status(folder / silo / "onggi.toml")


def _check_status(config: Path) -> None:
    """What an administrator is told afterwards, by the command of the product."""
    command = [sys.executable, "-m", "agent", "--config", str(config), "status"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for reason in ENDS:
        assert f"({reason})" in said
    assert "ended by signal 9" in said
    assert "golden molecules" in said
    assert "not finite" in said
