"""Each wall, attacked from inside: a program in the service's place, its user and its sandbox.

What is tried is tried once more where the wall is not, and must get through there: an attack that
could not work would prove nothing.
"""

from collections.abc import Iterator

import pytest

from tests.system.bundles import Bundles
from tests.system.far import Consortium
from tests.system.machine import Machine
from tests.system.network import PROXY
from tests.system.outside import ADDRESS, Outside
from tests.system.proxy import Proxy
from tests.system.test_service import install, put
from tests.system.walled import SET_UID_PROGRAM, Outcome, Walled

pytestmark = pytest.mark.system

STATE = "/var/lib/onggi"
STORE = "/srv/assays/book"
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
_CONFIG = """\
[courier]
poll_s = 2.0
[[store]]
name = "book"
kind = "kmelloddy"
path = "/srv/assays/book"
[[store]]
name = "lims"
kind = "database"
url = "sqlite:////srv/lims/lims.sqlite3"
query = "SELECT * FROM measurement"
watermark = "updated_at"
key = "id"
profile = "/etc/onggi/profile.toml"
"""

OUT = {
    "keeper": (
        *("tcp:outside", "udp:outside", "tcp:lan", "udp:lan", "dns", "ping"),
        *("made:AF_INET", "made:AF_NETLINK", "made:AF_PACKET"),
        *("unix:/run/systemd/journal/stdout", "ring:/run/systemd/journal/stdout"),
    ),
    "courier": ("ping", "made:AF_NETLINK", "made:AF_PACKET", "ring:/run/systemd/journal/stdout"),
    "predict": (
        *("tcp:outside", "udp:outside", "dns", "ping", "made:AF_NETLINK", "made:AF_PACKET"),
        "ring:/run/systemd/journal/stdout",
    ),
    "reader": (
        *("tcp:outside", "udp:outside", "dns", "ping", "made:AF_NETLINK", "made:AF_PACKET"),
        "ring:/run/systemd/journal/stdout",
    ),
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
    "keeper": (HOME, "read:/etc/shadow", "read:/etc/onggi/courier.env"),
    "courier": (
        *(*SECRET, HOME, "read:/etc/shadow", "read:/etc/onggi/courier.env", "read:/srv/open.csv"),
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
    kinds = ("signal_to", "trace", "peek", "steal", "see")
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
    """

    def __init__(self, walled: Walled) -> None:
        self.within = {name: walled.within(UNITS[name], attacks(name)) for name in UNITS}
        every = sorted({one for name in UNITS for one in attacks(name)})
        self.open = walled.as_user("root", every)
        self.by_user = walled.as_user("onggi-courier", KERNEL)

    def where_no_wall_is(self, attack: str) -> Outcome:
        """Returns what came of an attack where nothing holds it."""
        # Root is root already: there another user must get through.
        kind = attack.partition(":")[0]
        return self.by_user[attack] if kind == "set_uid_program" else self.open[attack]


@pytest.fixture(scope="module")
def site(machine: Machine, bundles: Bundles, consortium: Consortium, proxy: Proxy) -> Machine:
    code, said = install(machine, bundles.of("cpu"), "--key", put(machine, bundles.key))
    assert code == 0, said
    (machine.root / "etc/onggi/onggi.toml").write_text(_CONFIG)
    (machine.root / "etc/onggi/courier.env").write_text(f"HTTPS_PROXY={proxy.url}\n")
    (machine.root / "etc/onggi/courier.env").chmod(0o600)
    machine.run("install", "-d", "-o", "root", "-g", "onggi-keeper", "-m", "2770", STORE)
    enrol = ("env", f"HTTPS_PROXY={proxy.url}", "onggi", "enroll", "--no-wait", "--token")
    token = consortium.token("silo-a")
    assert machine.run(*enrol, token, check=False).returncode == 75
    consortium.admit("silo-a")
    machine.run(*enrol, token)
    machine.run("systemd-tmpfiles", "--create", "onggi.conf")
    machine.run("systemctl", "start", *(UNITS[name] for name in RUNNING))
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
    for path in ("/home/kim/notes", "/srv/open.csv", f"{STATE}/open/notes", f"{STORE}/secret.csv"):
        machine.run("sh", "-c", f"echo found > {path}")
    reader = ("install", "-d", "-o", "onggi-reader", "-g", "onggi-reader", "-m", "2750")
    machine.run(*reader, f"{STATE}/spool/lims", f"{STATE}/spool/other")
    machine.run("sh", "-c", f"echo found > {STATE}/spool/other/rows")
    machine.run("chown", "onggi-reader:onggi-reader", f"{STATE}/spool/other/rows")
    machine.run("chmod", "-R", "o+rX", "/srv/open.csv", "/home/kim", f"{STATE}/open")


@pytest.fixture(scope="module")
def walled(site: Machine, outside: Outside) -> Walled:
    lay_bait(site)
    facts = {"outside": ADDRESS, "lan": PROXY, "port": str(outside.port)}
    return Walled(site, facts | {name: site.shows(UNITS[name], "MainPID") for name in RUNNING})


@pytest.fixture(scope="module")
def tried(walled: Walled) -> Tried:
    return Tried(walled)


def holds(tried: Tried, service: str, attack: str) -> None:
    found = tried.within[service][attack]
    assert not found.through
    without = tried.where_no_wall_is(attack)
    assert without.through, f"the attack itself does not work: {without.why}"


@pytest.mark.parametrize("service", UNITS)
def test_the_attack_stands_within_the_services_own_walls(walled: Walled, service: str) -> None:
    unit = UNITS[service]
    name, text = walled.derived(unit, ())
    walled.install(name, text)
    walls = walled.understood(unit, walled.walls(unit))
    assert len(walls) > 30
    assert walled.understood(name, walls) == walls


@pytest.mark.parametrize(("service", "attack"), cases("tcp udp dns made ping unix ring"))
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


@pytest.mark.parametrize(("service", "attack"), cases("signal_to trace peek steal see"))
def test_other_services_are_out_of_reach(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


@pytest.mark.parametrize(
    ("service", "attack"),
    cases(" ".join(one.partition(":")[0] for one in (*KERNEL, "code_in_memory"))),
)
def test_it_gets_no_more_rights(tried: Tried, service: str, attack: str) -> None:
    holds(tried, service, attack)


def test_the_world_outside_heard_only_of_what_had_no_walls(tried: Tried, outside: Outside) -> None:
    assert {("tcp", "root"), ("udp", "root"), ("dns", "root")} <= outside.heard
    assert {who for _, who in outside.heard} & set(UNITS) == set()
