"""Each wall, attacked from inside: a program in the service's place, its user and its sandbox.

What is tried is tried once more where the wall is not, and must get through there: an attack that
could not work would prove nothing.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.readme import ENGLISH, commands
from tests.system.bundles import Bundles
from tests.system.far import Consortium
from tests.system.following import Reader
from tests.system.machine import Machine
from tests.system.network import PROXY
from tests.system.outside import ADDRESS, Outside
from tests.system.walled import SET_UID_PROGRAM, Outcome, Walled

pytestmark = pytest.mark.system

STATE = "/var/lib/onggi"
STORE = "/srv/assays/standard"
ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
FIREWALL = ROOT / "config_templates" / "onggi.nft"
# Where a resolver of the host listens, and a file by which it is asked.
RESOLVER, ASKED = "datagram:127.0.0.53=53", "unix:/run/systemd/resolve/bait"
RING = "ring:/run/systemd/journal/stdout"
TELEMETRY = "telemetry:/opt/onggi/current/bin/python"
UNITS = {
    "keeper": "onggi-keeper",
    "courier": "onggi-courier",
    "predict": "onggi-predict",
    "reader": "onggi-reader@lims",
}
OWN = {
    "keeper": f"{STATE}/jobs",
    "courier": f"{STATE}/courier",
    "predict": f"{STATE}/predict",
    "reader": f"{STATE}/spool/lims",
}
# Each is up while the others are attacked from.
RUNNING = ("keeper", "courier", "predict")
_STORES = """
[[store]]
name = "standard"
kind = "kmelloddy"
path = "/srv/assays/standard"
[[store]]
name = "lims"
kind = "database"
url = "sqlite:////srv/lims/lims.sqlite3"
query = "SELECT * FROM measurement"
watermark = "updated_at"
key = "id"
profile = "/etc/onggi/profile.toml"
"""

_RAW = ("ping", "made:AF_NETLINK", "made:AF_PACKET", RING)
_OUTSIDE = ("tcp:outside", "udp:outside", "dns")
OUT = {
    "keeper": (
        *(*_RAW, *_OUTSIDE, "tcp:lan", "udp:lan", "made:AF_INET", RESOLVER, TELEMETRY),
        *("unix:/run/systemd/journal/stdout", ASKED),
    ),
    "courier": _RAW,
    "predict": (*_RAW, *_OUTSIDE, RESOLVER, ASKED, TELEMETRY),
    "reader": (*_RAW, *_OUTSIDE),
}
SECRET = tuple(
    f"read:{path}"
    for path in (
        *(f"{STORE}/secret.csv", f"{STATE}/ledger.sqlite3", f"{STATE}/parts", f"{STATE}/models"),
        *(f"{STATE}/keys", f"{STATE}/keys/sign.key", f"{STATE}/keys/seal.key"),
    )
)
# Readable for everybody by its mode: only the wall is there.
HOME = "read:/home/kim/notes"
READ = {
    "keeper": (HOME, "read:/etc/shadow", "read:/root/readme/officer.key"),
    "courier": (
        *(*SECRET, HOME, "read:/etc/shadow", "read:/root/readme/officer.key", "read:/srv/open.csv"),
        *(f"read:{STATE}/{name}" for name in ("releases", "status", "predict", "spool", "open")),
        f"read_through:keeper={STATE}/ledger.sqlite3",
    ),
    "predict": (
        *(*SECRET, HOME, "read:/etc/shadow", "read:/srv/open.csv", f"read:{STATE}/open"),
        *(f"read:{STATE}/{name}" for name in ("courier/courier.key", "outbox", "trust", "spool")),
        f"read_through:keeper={STATE}/ledger.sqlite3",
    ),
    "reader": (
        *(
            *SECRET,
            HOME,
            "read:/etc/shadow",
            f"read:{STATE}/spool/other/rows",
            f"read:{STATE}/open",
        ),
        *(f"read:{STATE}/{name}" for name in ("courier/courier.key", "outbox", "releases")),
        "read:/etc/onggi/readers/other/password",
        f"read_through:keeper={STATE}/ledger.sqlite3",
    ),
}
_SYSTEM = ("/etc", "/etc/onggi", "/usr/local/bin", "/opt/onggi", "/var/lib", "/run", "/open")
WRITE = {
    "keeper": (*_SYSTEM, STORE, f"{STATE}/courier", f"{STATE}/predict", f"{STATE}/trust"),
    "courier": (*_SYSTEM, STATE, STORE, *(f"{STATE}/{n}" for n in ("outbox", "trust", "releases"))),
    "predict": (
        *(*_SYSTEM, STATE, STORE),
        *(f"{STATE}/{name}" for name in ("releases", "reference", "status", "inbox", "outbox")),
    ),
    "reader": (*_SYSTEM, STATE, STORE, f"{STATE}/spool", f"{STATE}/spool/other", f"{STATE}/inbox"),
}
RUN = ("run", "run_by_linker", "load")
KERNEL = (
    *(
        "become_root",
        f"set_uid_program:{SET_UID_PROGRAM}",
        "mount:/tmp",
        "user_namespace",
        "chroot",
    ),
    *("module", "clock", "hostname", "cgroup:/sys/fs/cgroup", "core", "personality"),
)


def others(service: str) -> tuple[str, ...]:
    """Returns what is tried at the processes of the other services."""
    kinds = ("signal_to", "trace", "peek", "read_memory", "see")
    return tuple(f"{kind}:{one}" for one in RUNNING if one != service for kind in kinds)


def attacks(service: str) -> tuple[str, ...]:
    """Returns everything that is tried from within one service."""
    memory = () if service == "keeper" else ("code_in_memory",)
    return (
        *(*OUT[service], *READ[service], *(f"write:{folder}" for folder in WRITE[service])),
        *(f"{kind}:{folder}" for kind in RUN for folder in (OWN[service], "/tmp", "/dev/shm")),  # noqa: S108
        *(f"set_uid_bit:{OWN[service]}", *others(service), *KERNEL, *memory),
    )


def cases(kind: str) -> list[tuple[str, str]]:
    """Returns services and attacks whose name begins with one of some words."""
    names = tuple(kind.split())
    return [
        (service, one)
        for service in UNITS
        for one in attacks(service)
        if one.partition(":")[0] in names
    ]


class Tried:
    """What came of all attacks, within the walls and without any.

    Attributes:
        within: By service and attack.
        open: By attack, as root.
        by_user: By attack, as the courier's user.
        heard: What was heard outside while the attacks were within.
    """

    def __init__(self, walled: Walled, outside: Outside) -> None:
        outside.heard.clear()
        self.within = {name: walled.within(UNITS[name], attacks(name)) for name in UNITS}
        self.heard = frozenset(outside.heard)
        every = sorted({one for name in UNITS for one in attacks(name)})
        self.open = walled.as_user("root", every)
        self.by_user = walled.as_user("onggi-courier", KERNEL)

    def where_no_wall_is(self, attack: str) -> Outcome:
        """Returns what came of an attack where nothing holds it."""
        # Root is root already: there another user must get through.
        kind = attack.partition(":")[0]
        return self.by_user[attack] if kind == "set_uid_program" else self.open[attack]


@pytest.fixture(scope="module")
def told(machine: Machine, bundles: Bundles, consortium: Consortium) -> list[str]:
    return Reader(machine, bundles, _STORES).follow(consortium, "silo-a")


@pytest.fixture(scope="module")
def site(machine: Machine, told: list[str]) -> Machine:
    return machine


@pytest.fixture(scope="module")
def outside(site: Machine) -> Iterator[Outside]:
    with Outside(site.leader, PROXY) as world:
        (site.root / "etc/resolv.conf").unlink(missing_ok=True)
        (site.root / "etc/resolv.conf").write_text(f"nameserver {ADDRESS}\n")
        yield world


def lay_bait(machine: Machine) -> None:
    """Lays out what an attack would find, open to everybody where its mode is no wall."""
    for folder in ("/home/kim", "/open", f"{STATE}/open"):
        machine.run("install", "-d", "-m", "0777", folder)
    reader = ("install", "-d", "-o", "onggi-reader", "-g", "onggi-reader", "-m", "0750")
    passwords = (f"/etc/onggi/readers/{name}" for name in ("lims", "other"))
    machine.run(*reader, f"{STATE}/spool/lims", f"{STATE}/spool/other", *passwords)
    of_reader = (f"{STATE}/spool/other/rows", "/etc/onggi/readers/other/password")
    for path in ("/home/kim/notes", "/srv/open.csv", f"{STATE}/open/notes", *of_reader):
        machine.run("install", "-m", "0644", "/etc/hostname", path)
    machine.run("chown", "onggi-reader:onggi-reader", *of_reader)
    machine.run(
        "install", "-m", "0640", "-g", "onggi-keeper", "/etc/hostname", f"{STORE}/secret.csv"
    )
    bait = "[Socket]\nListenStream=/run/systemd/resolve/bait\nAccept=yes\n"
    (machine.root / "etc/systemd/system/bait.socket").write_text(bait)
    service = "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n"
    (machine.root / "etc/systemd/system/bait@.service").write_text(service)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "bait.socket")


@pytest.fixture(scope="module")
def walled(site: Machine, outside: Outside) -> Walled:
    lay_bait(site)
    facts = {"outside": ADDRESS, "lan": PROXY, "port": str(outside.port)}
    return Walled(site, facts | {name: site.shows(UNITS[name], "MainPID") for name in RUNNING})


@pytest.fixture(scope="module")
def tried(walled: Walled, outside: Outside) -> Tried:
    return Tried(walled, outside)


def holds(tried: Tried, service: str, attack: str) -> None:
    found = tried.within[service][attack]
    assert not found.through
    without = tried.where_no_wall_is(attack)
    assert without.through, f"the attack itself does not work: {without.why}"


def test_the_readme_was_followed_word_for_word(site: Machine, told: list[str]) -> None:
    said = dict(zip(commands(ENGLISH), told, strict=True))
    assert "No check failed." in said["sudo onggi doctor"]
    for service in RUNNING:
        assert site.shows(UNITS[service], "ActiveState") == "active"
    assert "signed" in site.run("onggi", "policy", "show").stdout


@pytest.mark.parametrize("service", UNITS)
def test_the_attack_stands_within_the_services_own_walls(walled: Walled, service: str) -> None:
    unit = UNITS[service]
    name, text = walled.derived(unit, ())
    walled.install(name, text)
    walls = walled.understood(unit, walled.walls(unit))
    assert len(walls) > 30
    assert walled.understood(name, walls) == walls


@pytest.mark.parametrize(
    ("service", "attack"), cases("tcp udp dns made ping unix ring datagram telemetry")
)
def test_there_is_no_way_out(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


@pytest.mark.parametrize(("service", "attack"), cases("read read_through"))
def test_what_is_not_its_own_is_not_read(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


@pytest.mark.parametrize(("service", "attack"), cases("write"))
def test_what_is_not_its_own_is_not_written(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


@pytest.mark.parametrize(("service", "attack"), cases("run run_by_linker load set_uid_bit"))
def test_nothing_that_was_written_is_run(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


@pytest.mark.parametrize(("service", "attack"), cases("signal_to trace peek read_memory see"))
def test_other_services_are_out_of_reach(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


@pytest.mark.parametrize(
    ("service", "attack"),
    cases(" ".join(one.partition(":")[0] for one in (*KERNEL, "code_in_memory"))),
)
def test_it_gets_no_more_rights(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


def test_the_world_outside_heard_nothing(tried: Tried, outside: Outside) -> None:
    assert tried.heard == frozenset()
    assert {("tcp", "root"), ("udp", "root"), ("dns", "root")} <= outside.heard


# Each directive is what holds: without it the attack gets through, with the rest in place.
_ALONE = (
    ("keeper", RING, "SystemCallFilter"),
    ("keeper", ASKED, "RestrictAddressFamilies"),
    ("keeper", f"write:{STORE}", "ProtectSystem"),
    ("keeper", HOME, "ProtectHome"),
    ("keeper", f"run:{OWN['keeper']}", "NoExecPaths"),
    ("courier", "made:AF_NETLINK", "RestrictAddressFamilies"),
    ("courier", f"read:{STATE}/open", "TemporaryFileSystem BindPaths BindReadOnlyPaths"),
    ("courier", "read:/srv/open.csv", "InaccessiblePaths"),
    ("courier", "write:/open", "ProtectSystem"),
    ("courier", f"load:{OWN['courier']}", "NoExecPaths"),
    ("courier", "code_in_memory", "MemoryDenyWriteExecute"),
    ("courier", "see:keeper", "ProtectProc ProcSubset"),
    ("courier", "user_namespace", "RestrictNamespaces"),
    ("courier", f"set_uid_bit:{OWN['courier']}", "RestrictSUIDSGID"),
    ("courier", "core", "LimitCORE SystemCallFilter"),
    ("predict", "udp:outside", "IPAddressDeny IPAddressAllow"),
    ("predict", "dns", "IPAddressDeny IPAddressAllow"),
    ("predict", RESOLVER, "IPAddressDeny IPAddressAllow"),
    ("predict", ASKED, "InaccessiblePaths"),
    ("predict", f"read:{STATE}/open", "TemporaryFileSystem BindPaths BindReadOnlyPaths"),
    ("predict", "read:/srv/open.csv", "InaccessiblePaths"),
    ("reader", "tcp:outside", "IPAddressDeny IPAddressAllow"),
    (
        "reader",
        f"read:{STATE}/spool/other/rows",
        "StateDirectory TemporaryFileSystem BindPaths BindReadOnlyPaths",
    ),
    (
        "reader",
        "read:/etc/onggi/readers/other/password",
        "StateDirectory TemporaryFileSystem BindPaths BindReadOnlyPaths",
    ),
)


@pytest.mark.parametrize(("service", "attack", "directives"), _ALONE)
def test_without_its_directive_a_wall_is_open(
    walled: Walled, tried: Tried, service: str, attack: str, directives: str
) -> None:
    assert not tried.within[service][attack].through
    found = walled.within(UNITS[service], [attack], without=directives.split())
    assert found[attack].through, found[attack].why


def test_the_keepers_three_walls_hold_each_by_itself(walled: Walled) -> None:
    three = {"PrivateNetwork", "RestrictAddressFamilies", "IPAddressDeny"}
    attack = "udp:outside"
    for left in three:
        assert not walled.within(UNITS["keeper"], [attack], tuple(three - {left}))[attack].through
    assert walled.within(UNITS["keeper"], [attack], tuple(three))[attack].through


def drop_in_of_the_manual(*addresses: str) -> str:
    """Returns what docs/operations.md tells a site to type, with its addresses."""
    told = OPERATIONS.read_text().split("**One address only.**", 1)[1].split("[Service]\n", 1)[1]
    lines = told.split("\n\n", 1)[0].splitlines()
    return "\n".join(line.strip() for line in lines).replace(
        "192.0.2.10 192.0.2.53", " ".join(addresses)
    )


def test_the_manuals_drop_in_leaves_the_courier_one_address(walled: Walled) -> None:
    tries = ("tcp:lan", "tcp:outside", "udp:outside", "dns", RESOLVER)
    # As installed its way is not narrowed: nobody but the site knows the address.
    as_installed = walled.within(UNITS["courier"], tries)
    assert all(one.through for one in as_installed.values())
    narrowed = walled.within(UNITS["courier"], tries, more=drop_in_of_the_manual(PROXY))
    assert [attack for attack in tries if narrowed[attack].through] == ["tcp:lan"]
    # By folder it needs no network at all; this host's own addresses are then its alone.
    alone = walled.within(UNITS["courier"], tries[:-1], more="PrivateNetwork=yes")
    assert not any(one.through for one in alone.values())


def test_the_manuals_drop_in_closes_the_lan_to_predict(walled: Walled) -> None:
    tries = ("tcp:lan", "udp:lan")
    as_installed = walled.within(UNITS["predict"], tries)
    assert all(one.through for one in as_installed.values())
    narrowed = walled.within(UNITS["predict"], tries, more=drop_in_of_the_manual("127.0.0.1"))
    assert not any(one.through for one in narrowed.values())


def test_what_the_manual_calls_open_is_open(walled: Walled) -> None:
    """A limit that is told must be one: where a wall came to be, the manual is to say so."""
    attack = "run_from_memory"
    assert [
        name for name in UNITS if not walled.within(UNITS[name], [attack])[attack].through
    ] == []


def load_firewall(machine: Machine, port: int) -> None:
    """Loads config_templates/onggi.nft with the addresses of this test put in."""
    text = FIREWALL.read_text()
    for name, value in {
        "aggregator": PROXY,
        "aggregator_port": str(port),
        "resolver": ADDRESS,
        "databases": f"{{ {PROXY} }}",
        "database_ports": f"{{ {port} }}",
    }.items():
        text, count = re.subn(rf"^(define {name} =).*$", rf"\1 {value}", text, flags=re.MULTILINE)
        assert count == 1
    (machine.root / "etc/onggi.nft").write_text(text)
    machine.run("nft", "-c", "-f", "/etc/onggi.nft")
    machine.run("nft", "-f", "/etc/onggi.nft")


def test_the_firewalls_template_fixes_host_and_port_by_user(
    walled: Walled, site: Machine, outside: Outside
) -> None:
    if shutil.which("nft") is None:
        pytest.skip("nft is not on this host: apt-get install nftables")
    tries = ("tcp:lan", "udp:lan", "tcp:outside", "udp:outside", "dns")
    through: dict[str, list[str]] = {}
    try:
        load_firewall(site, outside.port + 1)
        other_port = walled.within(UNITS["courier"], tries)
        load_firewall(site, outside.port)
        for service in ("courier", "predict", "reader"):
            found = walled.within(UNITS[service], tries)
            through[service] = [attack for attack in tries if found[attack].through]
    finally:
        site.run("nft", "delete", "table", "inet", "onggi", check=False)
    assert not other_port["tcp:lan"].through
    # The resolver is asked by those who need names; what no wall holds, the rule for its user does.
    assert through == {"courier": ["tcp:lan", "dns"], "predict": [], "reader": ["tcp:lan"]}
    assert walled.within(UNITS["courier"], ["udp:lan"])["udp:lan"].through


def doctor(machine: Machine) -> tuple[int, dict[str, dict[str, tuple[str, str]]]]:
    """Returns the doctor's exit code, and by service and check the outcome and what was said."""
    done = machine.run("onggi", "doctor", "--json", check=False)
    found = json.loads(done.stdout)["services"]
    return done.returncode, {
        service: {one["name"]: (one["outcome"], one["said"]) for one in some}
        for service, some in found.items()
    }


def test_the_doctor_passes_for_every_service(site: Machine, outside: Outside) -> None:
    code, found = doctor(site)
    failed = [said for some in found.values() for outcome, said in some.values() if outcome != "ok"]
    assert (code, set(found)) == (0, {"host", "keeper", "courier", "predict", "reader@lims"}), (
        failed
    )
    # Nothing that is a wall may be passed over as "not here".
    for service, check in (
        *(
            ("keeper", name)
            for name in ("no_sockets", "no_way_out", "no_ring", "store_standard", "keys")
        ),
        *(("courier", name) for name in ("no_assays", "no_state", "no_signing_key", "aggregator")),
        *(("predict", name) for name in ("no_way_out", "no_assays", "courier_key", "no_exec")),
        *(("reader@lims", name) for name in ("no_way_out", "no_state", "system_closed", "no_exec")),
    ):
        assert found[service][check][0] == "ok", (service, check)


# A drop-in that takes a wall down, and the check that must say so, with what to do.
_TAKEN_DOWN = {
    "onggi-keeper": (
        "RestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX",
        "no_sockets",
        "RestrictAddressFamilies=none",
    ),
    "onggi-courier": ("NoExecPaths=", "no_exec", "NoExecPaths="),
    "onggi-predict": ("IPAddressAllow=any", "no_way_out", "set IPAddressDeny=any"),
    "onggi-reader@": ("SystemCallFilter=io_uring_setup", "no_ring", "SystemCallFilter="),
}


def test_the_doctor_says_which_wall_was_taken_down(site: Machine, outside: Outside) -> None:
    folders = {unit: site.root / f"etc/systemd/system/{unit}.service.d" for unit in _TAKEN_DOWN}
    try:
        for unit, (directive, _, _) in _TAKEN_DOWN.items():
            folders[unit].mkdir()
            (folders[unit] / "open.conf").write_text(f"[Service]\n{directive}\n")
        site.run("systemctl", "daemon-reload")
        code, found = doctor(site)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        site.run("systemctl", "daemon-reload")
    assert code == 1
    by_unit = {f"onggi-{name.replace('@lims', '@')}": some for name, some in found.items()}
    for unit, (_, check, said) in _TAKEN_DOWN.items():
        failed = {name: why for name, (how, why) in by_unit[unit].items() if how == "failed"}
        assert set(failed) == {check}
        assert said in failed[check]
