"""The whole loop as a user runs it: once undisturbed, once with processes killed all the time.

After the undisturbed one four bad releases come: every silo refuses or rolls back, and its endpoint
answers.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.slow

SILOS = ("silo-a", "silo-b", "silo-c")
SHARED = {"bbb_class", "logbb", "solubility"}
PRIVATE = "private:hydration_free_energy"
ROWS = {(silo, task) for silo in SILOS for task in SHARED}
ROWS |= {("silo-b", PRIVATE)}
ROUNDS = ("--rounds", "4")
ENDS = {
    "worse": "refused",
    "does_not_load": "rolled back",
    "wrong_golden": "refused",
    "bad_weights": "refused",
}


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    places = ("--folder", str(folder), "--json", str(folder.with_suffix(".json")))
    command = [sys.executable, "-m", "agent", "demo", *places, *options]
    with folder.with_suffix(".out").open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)


def last_words(folder: Path) -> str:
    """The end of what a demo printed: where it failed, its cause is there."""
    return folder.with_suffix(".out").read_text()[-2000:]


def figures(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(folder.with_suffix(".json").read_bytes())
    return content


def agents(folder: Path) -> list[psutil.Process]:
    """Every process of the silos: `onggi run`, keeper, courier, predict, readers, workers."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if "agent" in command and any(f"{folder}/silo-" in word for word in command):
            found.append(process)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "clean"
    process = start(folder, *ROUNDS, "--bad-releases")
    assert process.wait() == 0, last_words(folder)
    return folder


def test_every_silo_and_endpoint_has_both_errors(undisturbed: Path) -> None:
    result = figures(undisturbed)
    assert {(row["silo"], row["endpoint"]) for row in result["rows"]} == ROWS
    for row in result["rows"]:
        assert row["local"] > 0
        assert row["federated"] > 0
        assert row["n_train"] > 0
        assert row["n_test"] > 0
    assert set(result) >= {"rows", "bytes_sent", "set_aside", "rounds", "seconds"}
    assert set(result["bytes_sent"]) == set(SILOS)
    assert result["rounds"] == len(result["counted"]) == 4
    assert all(count == 3 for count in result["counted"])
    assert all({"row", "code", "reason"} <= set(row) for row in result["set_aside"])


def test_no_compound_is_in_two_silos(undisturbed: Path) -> None:
    compounds = []
    for silo in SILOS:
        (index,) = (undisturbed / silo / "state" / "snapshots").glob("*/index.json")
        compounds.append(set(json.loads(index.read_text())["compounds"]))
    assert all(compounds)
    assert not compounds[0] & compounds[1]
    assert not compounds[0] & compounds[2]
    assert not compounds[1] & compounds[2]


def test_no_process_is_left_behind(undisturbed: Path) -> None:
    assert agents(undisturbed) == []


def test_a_bad_release_reaches_no_chemist(undisturbed: Path) -> None:
    rows = figures(undisturbed)["bad_releases"]
    assert {(row["silo"], row["reason"]) for row in rows} == {
        (silo, reason) for silo in SILOS for reason in ENDS
    }
    for row in rows:
        assert row["state"] == ENDS[row["reason"]]
        assert row["answered"] == row["asked"] > 0
        assert row["learned"] == f"refused: {row['reason']}"
    for silo in SILOS:
        _check_status(undisturbed / silo / "onggi.toml")


def _check_status(config: Path) -> None:
    """What an administrator is told afterwards, by the command of the product."""
    command = [sys.executable, "-m", "agent", "--config", str(config), "status"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for reason in ENDS:
        assert f"({reason})" in said
    assert "ended by signal 9" in said
    assert "golden molecules" in said
    assert "not finite" in said


def test_killed_at_any_moment_it_ends_the_same(undisturbed: Path, tmp_path: Path) -> None:
    folder, random_ = tmp_path / "killed", random.Random(20261123)
    process, kills = start(folder, *ROUNDS), 0
    while process.poll() is None:
        time.sleep(random_.uniform(0.5, 6.0))
        if victims := agents(folder):
            try:
                random_.choice(victims).send_signal(signal.SIGKILL)
                kills += 1
            except psutil.NoSuchProcess:
                continue
    assert process.returncode == 0, last_words(folder)
    assert kills >= 15
    clean, killed = figures(undisturbed), figures(folder)
    assert {(r["silo"], r["endpoint"]) for r in killed["rows"]} == ROWS
    assert killed["rounds"] == clean["rounds"]
    assert killed["counted"] == clean["counted"]  # no update twice, none missed
    assert _counts(killed) == _counts(clean)


def _counts(result: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(r["silo"], r["endpoint"]): (r["n_train"], r["n_test"]) for r in result["rows"]}


def test_interrupted_it_takes_its_processes_along(tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    process = start(folder)
    while len(agents(folder)) < 6 and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 75
    assert agents(folder) == []
    assert "stopped before its end" in folder.with_suffix(".out").read_text()


def test_under_masks_a_silo_drops_out_and_the_aggregator_holds_but_chance(tmp_path: Path) -> None:
    folder = tmp_path / "masked"
    process = start(folder, "--silos", "6", "--masked", "--rounds", "2")
    assert process.wait() == 0, last_words(folder)
    result = figures(folder)
    assert result["counted"] == [6, 5]
    held = result["masked"]
    assert held["silo"] != held["dropped"]
    assert abs(held["chi_square"] - 255) < 6 * 22.6
    assert abs(held["correlation_with_the_sum"]) < 6 * (held["bytes"] / 4) ** -0.5
    said = folder.with_suffix(".out").read_text()
    assert f"{held['dropped']} has sent its keys of demo.r2.a1 and drops out" in said
    assert "there was no more of it on the aggregator's disk" in " ".join(said.split())
    assert "is what its vectors and seeds come to, bit by bit" in " ".join(said.split())
    assert agents(folder) == []
