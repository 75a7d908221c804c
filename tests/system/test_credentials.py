"""How the keys of an installed silo rest: plain without a credential, sealed with one,
and of no use anywhere else. The tests follow one another on one machine, which has no network.
"""

import json
from pathlib import Path

import pytest

from tests.system.bundles import Bundles
from tests.system.far import Consortium
from tests.system.machine import Machine
from tests.system.test_service import ROOT, put

pytestmark = pytest.mark.system

_CREDENTIALS = "etc/onggi/credentials"
_STATE = "var/lib/onggi"
_SERVICES = ("onggi-keeper", "onggi-courier")
_SEALED = b"onggi-key-v3 "
_CONFIG = """
[keeper]
sweep_s = 1.0
settle_s = 0.5
"""
_TLS = """
[serve]
certificate = "/etc/onggi/predict.pem"
key = "/run/credentials/onggi-predict.service/tls.key"
"""
_TLS_UNIT = """
[Service]
LoadCredentialEncrypted=tls.key:/etc/onggi/credentials/tls.key.cred
"""


def install(machine: Machine, bundle: Path, *options: str) -> str:
    """Installs as the README says, with a short trial, and returns what was printed."""
    script = put(machine, ROOT / "installer" / "install.sh")
    command = ("env", "ONGGI_TRIAL_S=1", "bash", script, *options, put(machine, bundle))
    done = machine.run(*command)
    return done.stdout + done.stderr


def keys(machine: Machine) -> dict[str, bytes]:
    """Returns what each key's file holds, by its name."""
    folders = (machine.root / _STATE / "keys", machine.root / _STATE / "courier")
    return {path.name: path.read_bytes() for one in folders for path in one.rglob("*.key")}


def how_they_rest(machine: Machine) -> list[str]:
    """Returns what the doctor says of the keys, within the keeper's and the courier's walls."""
    found = json.loads(machine.run("onggi", "doctor", "--json", check=False).stdout)["services"]
    return [
        one["said"]
        for service in ("keeper", "courier")
        for one in found[service]
        if one["name"] == "keys" and one["outcome"] == "ok"
    ]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return Consortium(tmp_path_factory.mktemp("consortium") / "folder", "127.0.0.1", 1)


def test_without_a_credential_the_keys_are_plain_files(
    machine: Machine, bundles: Bundles, far: Consortium, tmp_path: Path
) -> None:
    install(machine, bundles.of("cpu"), "--key", put(machine, bundles.key))
    for path in (machine.root / _CREDENTIALS).iterdir():
        path.unlink()  # as on a host whose systemd is older than 250
    (machine.root / "etc/onggi/onggi.toml").write_text(_CONFIG)
    enrol = ("onggi", "enroll", "--token", far.token("silo-a"), "--request", "/var/request.json")
    machine.run(*enrol)
    request, response = str(machine.root / "var/request.json"), tmp_path / "response.json"
    answer = ("enrol", request, "--out", str(response), "--folder", str(far._folder))
    far.ask(*answer, fine=(75,))
    far.admit("silo-a")
    far.ask(*answer)
    machine.run("onggi", "enroll", "--response", put(machine, response))
    machine.run("systemd-tmpfiles", "--create", "onggi.conf")
    machine.run("systemctl", "start", *_SERVICES)
    assert not any(content.startswith(_SEALED) for content in keys(machine).values())
    for service in _SERVICES:
        assert machine.shows(service, "ActiveState") == "active", machine.journal(service)


def test_the_next_start_with_a_credential_seals_them(machine: Machine, bundles: Bundles) -> None:
    install(machine, bundles.of("cpu"))
    folder = machine.root / _CREDENTIALS
    assert folder.stat().st_mode & 0o777 == 0o700
    made = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert made == {"onggi-keys.cred": 0o600, "onggi-courier-keys.cred": 0o600}
    before = set(machine.run("onggi", "keys", "show-fingerprint").stdout.split())
    machine.run("systemctl", "restart", *_SERVICES)
    found = keys(machine)
    assert len(found) == 4
    assert all(content.startswith(_SEALED) for content in found.values())
    assert [one.partition(" keys ")[2][:11] for one in how_they_rest(machine)] == [
        "rest sealed"
    ] * 2
    for service in _SERVICES:
        assert machine.shows(service, "ActiveState") == "active", machine.journal(service)
    assert set(machine.run("onggi", "keys", "show-fingerprint").stdout.split()) == before


def test_roots_commands_open_them_and_new_keys_rest_likewise(machine: Machine) -> None:
    for purpose in ("sign", "seal", "courier"):
        machine.run("onggi", "keys", "rotate", purpose)
    found = keys(machine)
    assert len([name for name in found if ".next." in name]) == 3
    assert all(content.startswith(_SEALED) for content in found.values())
    lines = json.loads(machine.run("onggi", "keys", "list", "--json").stdout)
    assert [one["state"] for one in lines] == ["in use", "next"] * 3
    machine.run("systemctl", "restart", *_SERVICES)
    for service in _SERVICES:
        assert machine.shows(service, "ActiveState") == "active", machine.journal(service)


def test_a_trip_with_a_stick_opens_the_couriers_key_and_becomes_the_courier(
    machine: Machine,
) -> None:
    machine.run("systemctl", "stop", "onggi-courier")
    machine.run("install", "-d", "-o", "onggi-courier", "/var/stick")
    machine.run("onggi", "carry", "--out", "/var/stick", "--in", "/var/stick")
    asked = machine.run("find", "/var/stick", "-type", "f").stdout.split()
    assert asked
    owned = ("-newer", "/var/request.json", "-type", "f", "!", "-user", "onggi-courier")
    left = machine.run("find", "/var/stick", "/var/lib/onggi/courier", *owned).stdout
    assert left == ""
    said = machine.run(
        *("runuser", "-u", "onggi-courier", "--", "onggi", "carry", "--out", "/var/stick"),
        check=False,
    )
    assert (said.returncode, "run this as root" in said.stderr) == (78, True)
    machine.run("systemctl", "start", "onggi-courier")


def test_a_copy_of_the_state_opens_nowhere_else(machine: Machine) -> None:
    machine.run("cp", "-a", "/var/lib/onggi", "/var/copy")
    config = machine.root / "var/copy.toml"
    config.write_text('[site]\nstate = "/var/copy"\n')
    before = keys(machine)
    for command in (("keygen",), ("keys", "list"), ("keeper",)):
        done = machine.run("onggi", "--config", "/var/copy.toml", *command, check=False)
        assert done.returncode == 78, (command, done)
        assert "is sealed, and what opens it is not here" in done.stderr
    copied = (machine.root / "var/copy/keys").glob("*.key")
    assert all(path.read_bytes() == before[path.name] for path in copied)


def test_a_sealed_ring_without_its_credential_is_a_sentence(
    machine: Machine, bundles: Bundles
) -> None:
    path = machine.root / _CREDENTIALS / "onggi-keys.cred"
    kept = path.rename(path.with_name("kept"))
    before = keys(machine)
    machine.run("systemctl", "restart", "onggi-keeper", check=False)
    machine.until("sh", "-c", "[ $(systemctl show -P ActiveState onggi-keeper) = failed ]")
    assert machine.shows("onggi-keeper", "ExecMainStatus") == "78"
    assert "is sealed, and what opens it is not here" in machine.journal("onggi-keeper")
    # Nor does installing again make another in its place, or touch the one that is there.
    other = path.with_name("onggi-courier-keys.cred").read_bytes()
    assert "onggi-keys.cred is missing" in install(machine, bundles.of("cpu"))
    assert not path.exists()
    assert path.with_name("onggi-courier-keys.cred").read_bytes() == other
    assert keys(machine) == before
    kept.rename(path)
    machine.run("systemctl", "reset-failed", "onggi-keeper")
    machine.run("systemctl", "start", "onggi-keeper")


def test_another_hosts_key_opens_no_credential(machine: Machine) -> None:
    secret = machine.root / "var/lib/systemd/credential.secret"
    kept = secret.rename(secret.with_name("kept"))
    machine.run("systemd-creds", "setup")  # as another host has it
    before = keys(machine)
    machine.run("systemctl", "restart", "onggi-keeper", check=False)
    assert machine.shows("onggi-keeper", "ExecMainStatus") == "243"
    done = machine.run("onggi", "keys", "list", check=False)
    assert (done.returncode, "cannot be opened" in done.stderr) == (78, True)
    assert keys(machine) == before
    kept.rename(secret)
    machine.run("systemctl", "reset-failed", "onggi-keeper")
    machine.run("systemctl", "restart", "onggi-keeper")


def test_the_log_says_more_without_a_restart(machine: Machine) -> None:
    pids = [machine.shows(service, "MainPID") for service in _SERVICES]
    for level in ("debug", "info"):
        said = machine.run("onggi", "log-level", level).stdout
        assert all(f"{service} logs {level}." in said for service in _SERVICES)
        assert [machine.shows(service, "MainPID") for service in _SERVICES] == pids


def test_a_gpu_hosts_drop_in_fits_the_keeper(machine: Machine) -> None:
    drop_in = "/etc/systemd/system/onggi-keeper.service.d/gpu.conf"
    template = "/opt/onggi/current/config_templates/gpu.conf"
    machine.run("install", "-D", "-m", "0644", template, drop_in)
    machine.run("systemctl", "daemon-reload")
    done = machine.run("systemd-analyze", "verify", "onggi-keeper.service")
    assert done.stdout + done.stderr == ""
    machine.run("systemctl", "restart", "onggi-keeper")
    assert machine.shows("onggi-keeper", "ActiveState") == "active"
    assert machine.shows("onggi-keeper", "DevicePolicy") == "closed"
    machine.run("rm", drop_in)
    machine.run("systemctl", "daemon-reload")


def test_no_key_is_in_the_journal_or_in_a_backup(machine: Machine) -> None:
    opener = ("systemd-creds", "decrypt", "--transcode=hex", "--name=onggi-keys")
    secret = machine.run(*opener, f"/{_CREDENTIALS}/onggi-keys.cred", "-").stdout.strip()
    assert len(secret) == 64
    machine.run("onggi", "backup", "/var/backup.tar")
    content = (machine.root / "var/backup.tar").read_bytes()
    assert _SEALED in content
    for plain in (b"onggi-key-v1 ", b"onggi-key-v2 ", secret.encode(), bytes.fromhex(secret)):
        assert plain not in content
    journal = machine.run("journalctl", "--no-pager", "-o", "cat").stdout
    assert secret not in journal
    assert "onggi-key-v" not in journal


def test_predicts_tls_key_rests_as_a_credential(machine: Machine) -> None:
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
        " -days 30 -out /etc/onggi/predict.pem -keyout /dev/stdout 2>/dev/null | systemd-creds"
        " encrypt --with-key=host --name=tls.key - /etc/onggi/credentials/tls.key.cred"
    )
    machine.run("sh", "-c", make)
    (machine.root / "etc/onggi/onggi.toml").write_text(_CONFIG + _TLS)
    drop_in = machine.root / "etc/systemd/system/onggi-predict.service.d/tls.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(_TLS_UNIT)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "onggi-predict")
    trusted = ("--cacert", "/etc/onggi/predict.pem")
    machine.until("curl", "-sf", *trusted, "https://localhost:8600/healthz")


def test_purging_leaves_no_credential(machine: Machine) -> None:
    machine.run("bash", "/opt/onggi/current/bin/uninstall.sh", "--purge", "--yes")
    assert not (machine.root / "etc/onggi").exists()
