"""What `install.sh` finds on a host, or says how to get, on systems that this one is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from installer.bundling import manifest
from tests.kit.bundled import bundle

ROOT = Path(__file__).parents[2]
# The first lines that decide; as each system's /etc/os-release has them.
SYSTEMS = {
    "debian": 'ID=debian\nVERSION_ID="12"\n',
    "ubuntu": 'VERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n',
    "rhel": 'ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="9.4"\n',
    "rhel8": 'ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="8.10"\n',
    "almalinux": 'ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n',
    "rocky": 'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
    "oracle": 'ID="ol"\nID_LIKE="fedora"\n',
    "other": 'ID=gentoo\nVERSION_ID="2.15"\n',
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "release.key"
    manifest.new_key(path)
    return path


def program(folder: Path, name: str, script: str) -> Path:
    """Writes a program that stands for one of another system's."""
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return path


def dry(made: Path, key: Path, *options: str, **environment: str) -> tuple[int, str, str]:
    given = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHON": sys.executable} | environment
    command = ["bash", str(ROOT / "installer" / "install.sh"), "--dry-run"]
    done = subprocess.run(
        [*command, "--key", str(key.with_suffix(".pub")), *options, str(made)],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("system", "advice"),
    [
        ("debian", "apt-get install python3.99, or take the bundle for Python 3."),
        ("ubuntu", "apt-get install python3.99, or take the bundle for Python 3."),
        ("rhel", "dnf install python3.99"),
        ("rhel8", "dnf install python3.99"),
        ("almalinux", "dnf install python3.99"),
        ("rocky", "dnf install python3.99"),
        ("oracle", "dnf install python3.99"),
        ("other", "PYTHON=/path/to/python3.99 install.sh"),
    ],
)
def test_each_system_is_told_how_to_get_python(
    key: Path, tmp_path: Path, system: str, advice: str
) -> None:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/os-release").write_text(SYSTEMS[system])
    made = bundle(tmp_path, key, python="3.99")
    code, _, said = dry(made, key, "--root", str(tmp_path / "root"))
    assert code == 78
    assert advice in said


def test_a_fitting_python_is_found_by_its_name(key: Path, tmp_path: Path) -> None:
    """As on Ubuntu 24.04 with a bundle for 3.12: what fits not, or runs not, is passed by."""
    (tmp_path / "bin").mkdir()
    fits = "case $2 in *sys.exit*) exit 0 ;; *) echo /usr/bin/python3.99 ;; esac"
    found = program(tmp_path / "bin", "python3.99", fits)
    program(tmp_path / "bin", "broken", "exit 127")
    made = bundle(tmp_path, key, python="3.99")
    path = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    for other in (sys.executable, "broken", "absent", ""):
        code, out, said = dry(made, key, "--root", str(tmp_path / "r"), PATH=path, PYTHON=other)
        assert (code, said) == (0, "")
        assert f"would run: {found.name} -m venv --without-pip" in out


def test_a_python_in_a_home_is_no_use_to_services(key: Path, tmp_path: Path) -> None:
    inside = program(
        tmp_path, "python", "case $2 in *sys.exit*) exit 0 ;; *) echo /home/kim/python ;; esac"
    )
    (tmp_path / "etc").mkdir()
    script = (ROOT / "installer" / "install.sh").read_text().split("\nparse_arguments ")[0]
    checks = f"{script}\nINTERPRETER={inside}\ncheck_interpreter\n"
    done = subprocess.run(["bash", "-c", checks], capture_output=True, text=True, check=False)
    assert (done.returncode, "is in a home" in done.stderr) == (78, True)


@pytest.mark.parametrize(
    ("systemd", "options", "code"),
    [
        ("systemd 239 (239-82.el8_10.5)", (), 78),  # RHEL 8
        ("systemd 239 (239-82.el8_10.5)", ("--old-systemd",), 0),
        ("systemd 252 (252-51.el9_6.2)", (), 0),  # RHEL 9
        ("systemd 255 (255.4-1ubuntu8.4)", (), 0),  # Ubuntu 24.04
        ("systemd 257 (257.9-1~deb13u1)", (), 0),  # Debian 13
        ("", (), 78),
    ],
)
def test_a_systemd_that_ignores_walls_is_taken_only_when_told(
    key: Path, tmp_path: Path, systemd: str, options: tuple[str, ...], code: int
) -> None:
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "systemctl", f"printf '%s\\n+PAM +AUDIT\\n' '{systemd}'")
    path = f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    done, _, said = dry(bundle(tmp_path, key), key, *options, PATH=path)
    assert done == code, said
    assert ("only 249 and newer hold all the walls" in said) == (code == 78)


@pytest.mark.parametrize(
    ("system", "advice"),
    [
        ("debian", "apt-get install libx11-6 libxext6 libxrender1"),
        ("almalinux", "dnf install libX11 libXext libXrender"),
        ("other", "Install the packages that have them."),
    ],
)
def test_each_system_is_told_how_to_get_libraries(tmp_path: Path, system: str, advice: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(SYSTEMS[system])
    script = (ROOT / "installer" / "install.sh").read_text().split("\nparse_arguments ")[0]
    checks = f"{script}\nROOT={tmp_path}\nhow_to_get_libraries\n"
    done = subprocess.run(["bash", "-c", checks], capture_output=True, text=True, check=False)
    assert (done.returncode, advice in done.stdout) == (0, True)


def test_a_library_that_is_missing_is_named(key: Path, tmp_path: Path) -> None:
    """A host without X11: its Python finds none of those libraries."""
    python = program(
        tmp_path,
        "python",
        f'case $3 in libX*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac',
    )
    code, _, said = dry(bundle(tmp_path, key), key, PYTHON=str(python))
    assert code == 78
    assert "This host lacks libX11.so.6 libXext.so.6 libXrender.so.1." in said
