"""The systemd units: walls as the design draws them, and folders that match the program's."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli import credentials
from agent.config import DEFAULT_CONFIG, Paths, Site
from agent.errors import EXIT_STOP
from agent.key_ring import NONE
from installer.bundling.build import TORCH

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
STATE = str(Site().state)
READERS = f"{DEFAULT_CONFIG.parent}/readers"
PROGRAM = "/opt/onggi/current/bin/onggi"

Unit = dict[str, list[str]]


def unit(name: str) -> Unit:
    """Reads one unit; a key that stands several times keeps every value."""
    found: Unit = {}
    for line in (SYSTEMD / f"onggi-{name}.service").read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def words(found: Unit, key: str) -> set[str]:
    return {word for value in found.get(key, []) for word in value.split()}


def folders_of_the_state(found: Unit, key: str) -> set[str]:
    prefix = f"{STATE}/"
    return {p.removeprefix(prefix) for p in words(found, key) if p.startswith(prefix)}


def test_there_is_a_unit_for_each_process() -> None:
    assert [path.name for path in UNITS] == [
        "onggi-courier.service",
        "onggi-keeper.service",
        "onggi-predict.service",
        "onggi-reader@.service",
    ]


@pytest.mark.parametrize(
    ("name", "command"),
    [("keeper", "keeper"), ("courier", "courier"), ("predict", "serve"), ("reader@", "reader %i")],
)
def test_each_runs_its_command_as_its_own_user(name: str, command: str) -> None:
    found = unit(name)
    user = f"onggi-{name.rstrip('@')}"
    assert found["ExecStart"] == [f"{PROGRAM} --config {DEFAULT_CONFIG} {command}"]
    assert (found["User"], found["Group"]) == ([user], [user])


@pytest.mark.parametrize("name", ["keeper", "courier", "predict", "reader@"])
def test_each_is_hardened(name: str) -> None:
    found = unit(name)
    for key in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectHome"):
        assert found[key] == ["yes"], key
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"] == [""]
    assert found["SystemCallFilter"][:2] == ["@system-service", "~@privileged @resources"]
    assert found["SystemCallFilter"][2] == "~io_uring_setup io_uring_enter io_uring_register"
    assert {"/tmp", "/var/tmp", "/dev/shm"} < words(found, "NoExecPaths")  # noqa: S108
    assert "ExecPaths" not in found  # it would make those paths writable again
    assert "ORT_DISABLE_TELEMETRY=1" in found["Environment"]
    assert found["UMask"] == ["0027"]


@pytest.mark.parametrize("name", ["keeper", "courier", "predict", "reader@"])
def test_each_starts_again_unless_a_person_must_act(name: str) -> None:
    found = unit(name)
    assert found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == [str(EXIT_STOP)]


@pytest.mark.parametrize("name", ["keeper", "courier", "predict", "reader@"])
def test_each_is_watched_and_bounded(name: str) -> None:
    found = unit(name)
    assert (found["Type"], found["NotifyAccess"]) == (["notify"], ["main"])
    assert int(found["WatchdogSec"][0]) >= 300  # a slow step is no hang
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["LimitCORE"] == ["0"]  # a core holds assays and keys
    assert "PYTHONFAULTHANDLER=1" in found["Environment"]
    assert {"MemoryMax", "CPUWeight", "LogRateLimitBurst"} <= set(found)


def test_training_yields_to_the_chemists() -> None:
    keeper, predict = unit("keeper"), unit("predict")
    for key in ("CPUWeight", "IOWeight"):
        assert 10 * int(keeper[key][0]) <= int(predict[key][0])
    # A worker that the kernel ends for want of memory takes nobody along.
    assert keeper["OOMPolicy"] == predict["OOMPolicy"] == ["continue"]


def test_the_keeper_is_given_the_one_socket_that_it_has() -> None:
    assert unit("keeper")["Sockets"] == ["onggi-keeper.socket"]
    lines = (SYSTEMD / "onggi-keeper.socket").read_text(encoding="utf-8").splitlines()
    assert {"SocketMode=0600", "ListenDatagram=/run/onggi-keeper.notify"} <= set(lines)
    assert not [line for line in lines if line.startswith(("ListenStream", "ListenSequential"))]


def test_the_keeper_has_no_network() -> None:
    found = unit("keeper")
    assert found["PrivateNetwork"] == ["yes"]
    assert found["RestrictAddressFamilies"] == ["none"]
    assert found["IPAddressDeny"] == ["any"]


def test_the_keepers_workers_can_run_torch() -> None:
    found = unit("keeper")
    assert "MemoryDenyWriteExecute" not in found
    assert "ProcSubset" not in found
    # The last filter line wins: threads are counted with the one, a worker is niced with the other.
    assert found["SystemCallFilter"][-1] == "sched_setaffinity setpriority"
    assert found["ReadWritePaths"] == [STATE]


@pytest.mark.parametrize(
    ("name", "read", "write"),
    [
        ("courier", {"outbox", "trust"}, {"inbox", "courier"}),
        ("predict", {"releases", "reference", "status"}, {"predict"}),
        ("reader@", set(), {"spool/%i"}),
    ],
)
def test_the_others_see_an_allow_list_of_folders(
    name: str, read: set[str], write: set[str]
) -> None:
    found = unit(name)
    empty = found["TemporaryFileSystem"][0]
    assert empty.startswith(f"{STATE}:")
    assert empty.endswith(",noexec")
    assert folders_of_the_state(found, "BindReadOnlyPaths") == read
    assert folders_of_the_state(found, "BindPaths") == write
    assert folders_of_the_state(found, "NoExecPaths") == write


@pytest.mark.parametrize("name", ["courier", "predict", "reader@"])
def test_nothing_else_is_mounted_where_the_empty_state_is(name: str) -> None:
    # Of two mounts on one path systemd drops one without a word: with NoExecPaths on the state
    # itself, the whole state was there instead of the empty file system.
    found = unit(name)
    keys = ("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "NoExecPaths", "BindPaths")
    assert not any(STATE in words(found, key) for key in keys)


@pytest.mark.parametrize(
    ("name", "service"), [("keeper", "onggi-keys"), ("courier", "onggi-courier-keys")]
)
def test_what_opens_its_keys_comes_from_systemd_or_is_none(name: str, service: str) -> None:
    found = unit(name)
    assert credentials._NAMES[name] == service
    place = DEFAULT_CONFIG.parent / "credentials" / f"{service}.cred"
    assert found["LoadCredentialEncrypted"] == [f"{service}:{place}"]
    # Without this word a host where none was made could not start the service.
    assert found["SetCredential"] == [f"{service}:{NONE.decode()}"]
    assert f"{service}" in (ROOT / "installer" / "install.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["predict", "reader@"])
def test_what_opens_keys_reaches_nobody_else(name: str) -> None:
    assert not {"LoadCredentialEncrypted", "SetCredential"} & set(unit(name))


def test_a_reader_sees_no_other_databases_password() -> None:
    found = unit("reader@")
    assert found["TemporaryFileSystem"][1:] == [f"{READERS}:ro,noexec"]
    assert found["BindReadOnlyPaths"] == [f"-{READERS}/%i"]
    assert tmpfiles("d")[READERS] == ("0750", "root", "onggi-reader")


def test_a_reader_finds_its_spool_made() -> None:
    assert unit("reader@")["StateDirectory"] == ["onggi/spool/%i"]


def tmpfiles(kind: str) -> dict[str, tuple[str, str, str]]:
    """Returns mode, owner and group by path, for one type of line."""
    lines = (SYSTEMD / "onggi.tmpfiles").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line.startswith(f"{kind} ")]
    return {row[1]: (row[2], row[3], row[4]) for row in rows}


def test_every_folder_of_the_state_has_its_owner() -> None:
    settings = DEFAULT_CONFIG.parent
    assert set(tmpfiles("d")) == {str(p) for p in Paths(Site().state).folders()} | {
        str(settings),
        str(settings / "credentials"),
        READERS,
    }
    assert tmpfiles("d")[str(settings / "credentials")] == ("0700", "root", "root")


def test_folders_are_closed_to_others_and_entered_by_those_who_need_them() -> None:
    folders = tmpfiles("d")
    assert folders[STATE] == ("1771", "root", "onggi-keeper")
    assert all(mode.endswith("0") for path, (mode, _, _) in folders.items() if path != STATE)
    for folder in ("keys", "parts", "snapshots", "models"):
        assert folders[f"{STATE}/{folder}"] == ("0700", "onggi-keeper", "onggi-keeper")
    assert folders[f"{STATE}/outbox"] == ("2750", "onggi-keeper", "onggi-courier")
    assert folders[f"{STATE}/releases"] == ("2750", "onggi-keeper", "onggi-predict")
    # Built in the one and renamed into the other: the group must be the same.
    assert folders[f"{STATE}/jobs"] == ("2700", "onggi-keeper", "onggi-predict")


def test_what_root_makes_at_enrolment_is_given_to_the_processes() -> None:
    assert {path: row[1] for path, row in tmpfiles("Z").items()} == {
        f"{STATE}/keys": "onggi-keeper",
        f"{STATE}/courier": "onggi-courier",
        f"{STATE}/trust": "root",
    }


def test_every_user_and_group_that_is_named_is_made() -> None:
    lines = (SYSTEMD / "onggi.sysusers").read_text(encoding="utf-8").splitlines()
    made = {line.split()[1] for line in lines if line[:1] in {"u", "g"}}
    named = {name for row in tmpfiles("d").values() for name in row[1:]}
    named |= {
        value for path in UNITS for value in re.findall(r"^User=(.+)$", path.read_text(), re.M)
    }
    assert named - {"root"} == made


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this host")
    for path in (*UNITS, *SYSTEMD.glob("*.socket")):  # the program is not installed here
        text = path.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", *sorted(map(str, tmp_path.glob("*.s*")))],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Failed to initialize manager" in done.stderr:
        pytest.skip("systemd-analyze cannot work in this sandbox")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def exposure(unit: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    return float(re.findall(r"exposure level for \S+: ([0-9.]+)", done.stdout)[0])


def test_a_gpu_opens_its_devices_and_costs_little(tmp_path: Path) -> None:
    template = (ROOT / "config_templates" / "gpu.conf").read_text(encoding="utf-8")
    lines = {line for line in template.splitlines() if line and line[0] != "#"}
    assert {"PrivateDevices=no", "DevicePolicy=closed"} < lines
    allowed = {line for line in lines if line.startswith("DeviceAllow=")}
    assert allowed == {"DeviceAllow=char-nvidia rw", "DeviceAllow=char-nvidia-* rw"}
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this host")
    unit = tmp_path / "onggi-keeper.service"
    shutil.copyfile(SYSTEMD / unit.name, unit)
    before = exposure(unit)
    (tmp_path / f"{unit.name}.d").mkdir()
    (tmp_path / f"{unit.name}.d" / "gpu.conf").write_text(template, encoding="utf-8")
    assert before < exposure(unit) <= min(before + 0.4, 0.8)


def wheel(folder: Path, name: str = "onggi-0.1.0-py3-none-any.whl") -> Path:
    path = folder / name
    path.write_bytes(b"")
    return path


def blocks(path: Path) -> set[str]:
    """Splits a lock into its pins, each with its hashes."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    pins = re.split(r"\n(?=\S)", "\n".join(lines).strip())
    # Where a package is needed may differ between the two; which one, and its hashes, may not.
    return {re.sub(r" ; [^\\]*", " ", pin) for pin in pins}


def test_the_installer_pins_what_the_tests_ran_with() -> None:
    runtime = blocks(ROOT / "installer" / "runtime-lock.txt")
    assert runtime <= blocks(ROOT / "requirements" / "lock.txt")
    assert all("--hash=sha256:" in block for block in runtime)


def test_the_runtime_lock_has_every_dependency_and_no_development_tool() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = set(
        re.findall(r'"([\w-]+)', project.partition("\ndependencies = [")[2].partition("]")[0])
    )
    pinned = {block.partition("==")[0] for block in blocks(ROOT / "installer" / "runtime-lock.txt")}
    assert {name.replace("_", "-") for name in needed} <= pinned
    assert not pinned & {"pytest", "mypy", "ruff", "hypothesis", "torch"}


def test_the_bundles_torch_is_the_projects() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (pin,) = set(re.findall(r'train = \["(torch==[\d.]+)"\]', project))
    assert pin == TORCH
