"""The doctor's units: the very walls of the services, by systemd's own judgement."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.doctor import sandbox

SYSTEMD = Path(__file__).parents[3] / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))


def _derived(path: Path) -> str:
    text = path.read_text(encoding="utf-8").replace("/opt/onggi/current/bin/onggi", "/bin/true")
    return sandbox.derive(text, "/bin/true doctor --json", Path("/run/answer.json"))


def _exposure(path: Path) -> str:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip("systemd-analyze cannot work in this sandbox")
    return found[1]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_the_doctors_walls_are_the_services(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this host")
    doctors = tmp_path / unit.name.replace("onggi-", "onggi-doctor-")
    doctors.write_text(_derived(unit))
    assert _exposure(doctors) == _exposure(unit)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(doctors)], capture_output=True, text=True, check=False
    )
    if "Failed to initialize manager" not in verified.stderr:
        assert (verified.returncode, verified.stderr) == (0, "")


def test_the_doctor_waits_for_nothing_and_is_not_started_again() -> None:
    lines = _derived(SYSTEMD / "onggi-keeper.service").splitlines()
    assert not [line for line in lines if line.startswith("Sockets=")]
    last = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    assert (last["Type"], last["Restart"], last["WatchdogSec"]) == ("oneshot", "no", "0")
    assert last["ExecStart"] == "/bin/true doctor --json"
    assert last["ConditionPathExists"] == ""
    assert last["PrivateNetwork"] == "yes"


def test_an_answer_is_read_once_and_a_missing_one_is_a_failure(tmp_path: Path) -> None:
    answer = tmp_path / "a.json"
    finding = {"name": "disk", "outcome": "ok", "said": "Much."}
    answer.write_text(json.dumps({"services": {"keeper": [finding]}, "ok": True}))
    (found,) = sandbox._read(answer, "onggi-doctor-keeper", 0)
    assert found.name == "disk"
    (missing,) = sandbox._read(answer, "onggi-doctor-keeper", 1)
    assert missing.outcome == "failed"
    assert "journalctl -u onggi-doctor-keeper" in missing.said
