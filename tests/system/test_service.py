"""The journey of pharma IT, on a machine that has systemd and no network: from one file to a
prediction, through kills and upgrades, to nothing left. The tests follow one another.
"""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from xlsxwriter import Workbook

from tests.kit.measurements import HEADER, Cells, compounds, logbb
from tests.system.bundles import Bundles
from tests.system.far import Consortium
from tests.system.machine import Machine
from tests.system.proxy import Proxy

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
SERVICES = ("onggi-keeper", "onggi-courier", "onggi-predict")
# systemd's own figure of how much a unit could do; less is safer.
EXPOSED = {"onggi-keeper": 0.8, "onggi-courier": 1.5, "onggi-predict": 1.5, "onggi-reader@": 1.5}
_MEDIA = "/var/media"
_CONFIG = """\
[keeper]
sweep_s = 1.0
settle_s = 0.5
[courier]
poll_s = 2.0
[training]
min_labels = 5
quorum_labels = 10
quorum_uncensored = 5
[gate]
min_labels = 5
[[store]]
name = "book"
kind = "kmelloddy"
path = "/srv/assays/book"
"""


def put(machine: Machine, path: Path, name: str = "") -> str:
    """Lays a file on the machine's medium and returns its path there."""
    medium = machine.root / _MEDIA.lstrip("/")
    medium.mkdir(exist_ok=True)
    shutil.copyfile(path, medium / (name or path.name))
    return f"{_MEDIA}/{name or path.name}"


def install(machine: Machine, bundle: Path, *options: str) -> tuple[int, str]:
    """Installs as the README says, and returns the exit code and what was printed."""
    script = put(machine, ROOT / "installer" / "install.sh")
    done = machine.run("bash", script, *options, put(machine, bundle), check=False)
    return done.returncode, done.stdout + done.stderr


def without_species(number: str, smiles: str, value: float) -> Cells:
    """Returns a workbook's row of logBB as the catalogue knows it, within its limits."""
    cells = logbb(number, smiles, value / 3)
    return (*cells[:4], "", *cells[5:])


def predicted(machine: Machine) -> float:
    """Asks the machine's own endpoint for one value."""
    body = json.dumps({"smiles": "CCCc1ccccc1"})
    said = machine.until(
        *("curl", "-sf", "http://127.0.0.1:8600/v1/predict"),
        *("-H", "Content-Type: application/json", "-d", body),
    )
    value: float = json.loads(said.stdout)["results"][0]["predictions"]["logbb"]["value"]
    return value


def enrol(machine: Machine, consortium: Consortium, proxy: Proxy, silo: str) -> None:
    """Enrols through the proxy, as docs/operations.md says, and starts the services."""
    words = ("onggi", "enroll", "--token", consortium.token(silo), "--no-wait")
    command = ("env", f"HTTPS_PROXY={proxy.url}", *words)
    assert machine.run(*command, check=False).returncode == 75
    consortium.admit(silo)
    machine.run(*command)
    machine.run("systemd-tmpfiles", "--create", "onggi.conf")
    machine.run("systemctl", "start", *SERVICES)
    for service in SERVICES:
        assert machine.shows(service, "ActiveState") == "active", machine.journal(service)


def test_a_bundle_that_was_touched_is_refused(
    machine: Machine, bundles: Bundles, tmp_path: Path
) -> None:
    key = put(machine, bundles.key)
    bundle = bundles.of("predict-only")
    touched = tmp_path / bundle.name
    content = bytearray(bundle.read_bytes())
    content[-200_000] ^= 1  # in the last wheel
    touched.write_bytes(content)
    code, said = install(machine, touched, "--key", key)
    assert code == 78
    assert "is not what its manifest says" in said
    content = bytearray(bundle.read_bytes())
    content[600] ^= 1  # in the manifest, which comes first
    touched.write_bytes(content)
    code, said = install(machine, touched, "--key", key)
    assert code == 78
    assert "The signature is not that of" in said
    assert not (machine.root / "opt/onggi").exists()


def test_it_installs_without_a_network(machine: Machine, bundles: Bundles) -> None:
    code, said = install(machine, bundles.of("cpu"), "--key", put(machine, bundles.key))
    assert code == 0, said
    assert "Next, as root" in said
    assert machine.run("onggi", "--version").stdout.startswith("onggi, version 0.1.0")
    # Again: nothing is done twice, and the key needs no naming any more.
    code, said = install(machine, bundles.of("cpu"))
    assert code == 0, said
    assert "is installed already" in said


def test_systemd_finds_no_fault_and_little_to_attack(machine: Machine) -> None:
    units = [f"/usr/lib/systemd/system/{name}.service" for name in EXPOSED]
    done = machine.run("systemd-analyze", "verify", *units)
    assert done.stdout + done.stderr == ""
    for name, most in EXPOSED.items():
        unit = f"/usr/lib/systemd/system/{name}.service"
        said = machine.run(
            *("systemd-analyze", "security", "--offline=true", "--no-pager", unit), check=False
        ).stdout
        exposed = float(re.findall(r"exposure level for \S+: ([0-9.]+)", said)[0])
        assert exposed <= most, (name, exposed)


def test_it_enrols_through_the_proxy(
    machine: Machine, consortium: Consortium, proxy: Proxy
) -> None:
    (machine.root / "etc/onggi/onggi.toml").write_text(_CONFIG)
    (machine.root / "etc/onggi/courier.env").write_text(f"HTTPS_PROXY={proxy.url}\n")
    machine.run(
        "install", "-d", "-o", "root", "-g", "onggi-keeper", "-m", "2770", "/srv/assays/book"
    )
    machine.run("onggi", "check-config")
    enrol(machine, consortium, proxy, "silo-a")
    assert proxy.tunnels


def test_a_file_becomes_an_update_a_release_and_a_prediction(
    machine: Machine, consortium: Consortium, tmp_path: Path
) -> None:
    book = tmp_path / "book.xlsx"
    with Workbook(book, {"strings_to_formulas": False}) as workbook:
        sheet = workbook.add_worksheet("데이터")
        sheet.write_row(1, 0, HEADER)
        for row, cells in enumerate(compounds(range(1, 31)), start=2):
            sheet.write_row(row, 0, without_species(*cells))
    consortium.publish_plan()
    dropped = put(machine, book)
    machine.run(
        "install", "-o", "root", "-g", "onggi-keeper", "-m", "0640", dropped, "/srv/assays/book/"
    )
    machine.until("curl", "-sf", "http://127.0.0.1:8600/readyz", limit_s=300)
    assert predicted(machine) == predicted(machine)
    egress = json.loads(machine.run("onggi", "egress", "--json").stdout)
    assert json.dumps(egress).count("released") >= 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_killed_service_comes_back(machine: Machine, service: str) -> None:
    before = int(machine.shows(service, "NRestarts"))
    machine.run("systemctl", "kill", "-s", "KILL", "--kill-whom=main", service)
    machine.until("sh", "-c", f"[ $(systemctl show -P NRestarts {service}) -gt {before} ]")
    machine.until("systemctl", "is-active", "--quiet", service)
    predicted(machine)


def test_a_hang_is_ended_and_the_service_comes_back(machine: Machine) -> None:
    folder = machine.root / "etc/systemd/system/onggi-keeper.service.d"
    folder.mkdir()
    (folder / "short.conf").write_text("[Service]\nWatchdogSec=5\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "onggi-keeper")
    main = machine.shows("onggi-keeper", "MainPID")
    machine.run("systemctl", "kill", "-s", "STOP", "--kill-whom=main", "onggi-keeper")
    predicted(machine)  # the others go on
    machine.until("sh", "-c", "[ $(systemctl show -P NRestarts onggi-keeper) -gt 0 ]")
    machine.until("systemctl", "is-active", "--quiet", "onggi-keeper")
    assert machine.shows("onggi-keeper", "MainPID") != main
    said = machine.journal("onggi-keeper")
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said  # and where each thread stood
    shutil.rmtree(folder)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "onggi-keeper")


def floors(machine: Machine) -> dict[str, int]:
    """Reads the version floors out of the ledger."""
    query = "SELECT json_group_object(name, value) FROM floor"
    program = (
        "import sqlite3; ledger = sqlite3.connect('file:/var/lib/onggi/ledger.sqlite3?mode=ro', "
        f"uri=True); print(ledger.execute('{query}').fetchone()[0])"
    )
    found: dict[str, int] = json.loads(machine.run("python3", "-c", program).stdout)
    return found


def test_a_backup_is_restored_and_trust_is_not_wound_back(
    machine: Machine, consortium: Consortium, proxy: Proxy
) -> None:
    state, backup = "/var/lib/onggi", "/var/backup.tar"
    said = machine.run("onggi", "backup", backup).stdout
    assert "Its SHA-256" in said
    for service in SERVICES:
        assert machine.shows(service, "ActiveState") == "active"
    before, value = floors(machine), predicted(machine)
    key = machine.run("sha256sum", f"{state}/keys/sign.key").stdout.split()[0]
    machine.run("systemctl", "stop", *SERVICES)
    machine.run("mv", state, "/var/lost")
    machine.run("systemd-tmpfiles", "--create", "onggi.conf")
    assert "token of a new name" in machine.run("onggi", "restore", backup).stdout

    # It goes on only under new keys: until then nothing starts that could speak for the old silo.
    machine.run("systemctl", "start", "onggi-keeper", "onggi-courier")
    assert machine.shows("onggi-keeper", "ConditionResult") == "no"
    assert machine.shows("onggi-courier", "ConditionResult") == "no"
    assert machine.run("find", f"{state}/keys", f"{state}/courier", "-name", "*.key").stdout == ""
    consortium.revoke("silo-a")
    enrol(machine, consortium, proxy, "silo-b")
    assert machine.run("sha256sum", f"{state}/keys/sign.key").stdout.split()[0] != key

    assert predicted(machine) == value
    after = floors(machine)
    assert {name for name in before if after.get(name, 0) < before[name]} == set()
    machine.run("onggi", "egress", "root", "--now")
    machine.until("sh", "-c", "onggi egress --verify")
    for _ in range(300):
        if "silo-b" in {one["silo"] for one in consortium.status()["egress_roots"]}:
            break
        time.sleep(1)
    status = consortium.status()
    assert status["members"] == ["silo-b"]
    assert "silo-b" in {one["silo"] for one in status["egress_roots"]}  # signed by its new key
    machine.run("rm", "-rf", "/var/lost", backup)


def test_an_upgrade_keeps_what_is_there(machine: Machine, bundles: Bundles) -> None:
    code, said = install(machine, bundles.of("cpu", version="0.1.1"))
    assert code == 0, said
    assert machine.run("onggi", "--version").stdout.startswith("onggi, version 0.1.1")
    assert (machine.root / "etc/onggi/onggi.toml").read_text() == _CONFIG
    for service in SERVICES:
        assert machine.shows(service, "ActiveState") == "active"
    predicted(machine)


def test_a_version_that_dies_at_its_start_is_taken_back(machine: Machine, bundles: Bundles) -> None:
    broken = bundles.of("predict-only", version="0.1.2", broken=True)
    code, said = install(machine, broken)
    assert code == 78
    assert "Version 0.1.1 runs again" in said
    assert machine.run("onggi", "--version").stdout.startswith("onggi, version 0.1.1")
    predicted(machine)


def test_removing_keeps_the_data_and_purging_leaves_nothing(
    machine: Machine, bundles: Bundles
) -> None:
    machine.run("bash", "/opt/onggi/current/bin/uninstall.sh")
    assert not (machine.root / "opt/onggi").exists()
    assert (machine.root / "var/lib/onggi/ledger.sqlite3").exists()
    code, said = install(machine, bundles.of("cpu"))
    assert code == 0, said
    machine.run("systemctl", "start", *SERVICES)
    predicted(machine)
    machine.run("bash", "/opt/onggi/current/bin/uninstall.sh", "--purge", "--yes")
    machine.until("sh", "-c", "! find /run -xdev -name '*onggi*' | grep -q .")
    left = machine.run(
        *("find", "/etc", "/usr", "/opt", "/var/lib", "/var/cache", "-xdev"),
        *("-name", "*onggi*"),
    ).stdout.split()
    assert left == []
    assert "onggi" not in (machine.root / "etc/passwd").read_text()
    assert "onggi" not in (machine.root / "etc/group").read_text()
