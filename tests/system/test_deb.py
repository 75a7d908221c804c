"""The Debian package's life on a machine without a network, while its services run: installed,
upgraded, taken back, removed, purged. The tests follow one another.
"""

import os
import shutil
from collections.abc import Callable

import pytest

from installer.bundling import debian
from tests.system.bundles import Bundles
from tests.system.machine import Machine

pytestmark = pytest.mark.system

Package = Callable[[str], str]

_ACCOUNTS = ("passwd", "group", "shadow", "gshadow")
# Not in homes: the machine underneath builds bundles meanwhile, and its caches show through.
_EVERYTHING = ("/etc", "/usr", "/opt", "/var", "/srv")
# Of dpkg's own, of systemd's, and copies that userdel makes of what it changes.
_OTHERS = (
    *("/var/lib/dpkg", "/var/log", "/var/lib/systemd", "/var/cache/ldconfig", "/var/cache/man"),
    # What the machine underneath may do meanwhile, and copies that dpkg makes at midnight.
    *("/var/lib/apt", "/var/cache/apt", "/var/backups"),
)
_COPIES = {f"/etc/{name}-" for name in _ACCOUNTS} | {"/etc/.pwd.lock"}


@pytest.fixture(scope="module")
def package(
    machine: Machine, bundles: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Package:
    """Returns the path of a version's package on the machine; 0.1.2 ends as soon as it starts."""
    out = tmp_path_factory.mktemp("packages")

    def of(version: str) -> str:
        changed = "" if version == "0.1.0" else version
        bundle = bundles.of("predict-only", version=changed, broken=version == "0.1.2")
        made = debian.build(bundle, bundles.key, out, "Test <test@example.org>")
        shutil.copyfile(made, machine.root / "mnt" / made.name)
        return f"/mnt/{made.name}"

    return of


@pytest.fixture(scope="module")
def before(machine: Machine) -> dict[str, str]:
    """Returns everything that was on the machine before."""
    return there(machine)


def there(machine: Machine) -> dict[str, str]:
    """Returns mode, owner and target of every file, and who has an account, by name."""
    pruned = [word for path in _OTHERS for word in ("-path", path, "-prune", "-o")]
    said = machine.run("find", *_EVERYTHING, "-xdev", *pruned, "-printf", "%p|%M %U:%G %l\n").stdout
    found = dict(line.split("|", 1) for line in said.splitlines())
    for name in _ACCOUNTS:
        found[f"in {name}"] = (machine.root / "etc" / name).read_text()
    return {name: what for name, what in found.items() if name not in _COPIES}


def dpkg(machine: Machine, *words: str) -> tuple[int, str]:
    """Runs dpkg as apt does, with a short trial; returns the exit code and what was printed."""
    done = machine.run("env", "ONGGI_TRIAL_S=4", "dpkg", *words, check=False)
    return done.returncode, done.stdout + done.stderr


def serves(machine: Machine, version: str) -> None:
    """Checks that predict runs and answers, and that the command is of this version."""
    machine.run("systemctl", "is-active", "--quiet", "onggi-predict")
    machine.until("curl", "-sf", "http://127.0.0.1:8600/healthz")
    assert machine.run("onggi", "--version").stdout == f"onggi, version {version}\n"


def test_it_installs_without_a_network(
    machine: Machine, before: dict[str, str], package: Package
) -> None:
    code, said = dpkg(machine, "--install", package("0.1.0"))
    assert code == 0, said
    assert "Next, as root" in said
    for service in ("keeper", "courier", "predict"):
        assert machine.shows(f"onggi-{service}", "UnitFileState") == "enabled"
        machine.run("systemctl", "start", f"onggi-{service}")
    serves(machine, "0.1.0")
    # Before enrolment there is nothing that these two could do.
    for service in ("keeper", "courier"):
        assert machine.shows(f"onggi-{service}", "ConditionResult") == "no"
    assert dpkg(machine, "--verify", "onggi") == (0, "")
    assert (
        "onggi: /usr/lib/systemd/system/onggi-keeper.service"
        in machine.run("dpkg", "--search", "onggi-keeper.service").stdout
    )


def test_the_bundles_own_scripts_leave_a_package_to_dpkg(machine: Machine) -> None:
    installer = ("/usr/share/onggi/install.sh", "/usr/share/onggi/onggi.bundle")
    for command in (installer, ("/opt/onggi/current/bin/uninstall.sh", "--purge", "--yes")):
        done = machine.run("bash", *command, check=False)
        assert done.returncode == 78
        assert "is here as a package" in done.stderr


def test_a_version_that_does_not_run_is_taken_back(machine: Machine, package: Package) -> None:
    (machine.root / "etc/onggi/onggi.toml").write_text("# ours\n")
    machine.run("systemctl", "disable", "onggi-courier")
    code, said = dpkg(machine, "--install", package("0.1.2"))
    assert code == 1
    assert "Version 0.1.0 runs again" in said
    serves(machine, "0.1.0")
    assert "half-configured" in machine.run("dpkg", "--status", "onggi").stdout


def test_an_upgrade_keeps_what_the_site_changed(machine: Machine, package: Package) -> None:
    code, said = dpkg(machine, "--install", package("0.1.3"))
    assert code == 0, said
    serves(machine, "0.1.3")
    assert (machine.root / "etc/onggi/onggi.toml").read_text() == "# ours\n"
    assert machine.shows("onggi-courier", "UnitFileState") == "disabled"
    assert dpkg(machine, "--verify", "onggi") == (0, "")
    assert dpkg(machine, "--audit") == (0, "")
    # The one that ran before stays, to go back to; the one that did not is gone.
    releases = (machine.root / "opt/onggi/releases").iterdir()
    assert sorted(path.name for path in releases) == ["0.1.0", "0.1.3"]


def test_removing_keeps_configuration_data_and_users(machine: Machine) -> None:
    kept = machine.root / "var/lib/onggi/predict/kept"
    kept.write_text("data")
    (machine.root / "var/tmp/onggi-install.killed").mkdir()
    code, said = dpkg(machine, "--remove", "onggi")
    assert code == 0, said
    assert machine.shows("onggi-predict", "LoadState") == "not-found"
    assert not machine.run("pgrep", "-u", "onggi-predict", check=False).stdout
    for gone in ("opt/onggi", "usr/bin/onggi", "usr/share/onggi", "var/tmp/onggi-install.killed"):
        assert not os.path.lexists(machine.root / gone)
    assert (machine.root / "etc/onggi/onggi.toml").read_text() == "# ours\n"
    assert kept.read_text() == "data"
    assert "onggi-predict" in (machine.root / "etc/passwd").read_text()


def test_purging_leaves_nothing(machine: Machine, before: dict[str, str]) -> None:
    code, said = dpkg(machine, "--purge", "onggi")
    assert code == 0, said
    after = there(machine)
    differing = {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    }
    assert differing == set()
    machine.until("sh", "-c", "! find /run -xdev -name '*onggi*' | grep -q .")
    assert "onggi" not in machine.run("systemctl", "list-units", "--all", "--plain").stdout
