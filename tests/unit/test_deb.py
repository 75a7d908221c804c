"""The Debian package of a bundle: built alike each time, and only of a bundle that was signed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from installer.bundling import debian, manifest
from installer.bundling.wheels import NotBuilt
from tests.kit.bundled import EPOCH_S, HERE, UNPACKED, Change, bundle

ROOT = Path(__file__).parents[2]
WHO = "Kim <kim@example.org>"

pytestmark = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="no Debian: a package is built and read with dpkg-deb"
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "release.key"
    manifest.new_key(path)
    return path.with_suffix(".pub")


@pytest.fixture(scope="module")
def made(key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return debian.build(bundle(folder, key.with_suffix(".key")), key, folder, WHO)


def ask(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def test_equal_bundles_make_equal_packages(key: Path, made: Path, tmp_path: Path) -> None:
    again = bundle(tmp_path, key.with_suffix(".key"))
    before = os.umask(0o077)
    try:
        other = debian.build(again, key, tmp_path / "elsewhere", WHO)
    finally:
        os.umask(before)
    assert other.name == made.name == "onggi_9.9_amd64.deb"
    assert other.read_bytes() == made.read_bytes()
    assert list(other.parent.iterdir()) == [other]


def test_dpkg_owns_the_units_the_command_and_the_bundle(made: Path) -> None:
    lines = ask("dpkg-deb", "--contents", str(made)).splitlines()
    found = {line.split()[5]: line.split()[:2] for line in lines}
    assert {who for _, who in found.values()} == {"root/root"}
    assert found["./usr/share/onggi/onggi.bundle"][0] == "-rw-r--r--"
    assert found["./usr/share/onggi/install.sh"][0] == "-rwxr-xr-x"
    assert lines[-1].endswith("./usr/bin/onggi -> /opt/onggi/current/bin/onggi")
    for unit in (ROOT / "systemd").glob("*.s[eo]*"):
        assert f"./usr/lib/systemd/system/{unit.name}" in found
    assert not [name for name in found if name.startswith(("./etc", "./opt", "./var"))]
    # One time everywhere, in the archive's own header, too.
    assert len({tuple(line.split()[3:5]) for line in lines}) == 1
    assert int(made.read_bytes()[24:36]) == EPOCH_S


def test_it_says_what_it_needs(made: Path) -> None:
    needs = ask("dpkg-deb", "--field", str(made), "Depends").strip().split(", ")
    assert {f"python{HERE}", "openssl", "procps", "systemd (>= 249)", "libxrender1"} <= set(needs)
    assert int(ask("dpkg-deb", "--field", str(made), "Installed-Size")) > UNPACKED // 1024
    assert ask("dpkg-deb", "--field", str(made), "Maintainer").strip() == WHO


def test_its_scripts_are_the_installers_own(made: Path, tmp_path: Path) -> None:
    ask("dpkg-deb", "--control", str(made), str(tmp_path / "control"))
    uninstall = (ROOT / "installer" / "uninstall.sh").read_bytes()
    for name in ("prerm", "postrm"):
        assert (tmp_path / "control" / name).read_bytes() == uninstall
    ask("dpkg-deb", "--extract", str(made), str(tmp_path / "files"))
    sums = (tmp_path / "control" / "md5sums").read_text().splitlines()
    assert "usr/share/onggi/onggi.bundle" in {line.split("  ")[1] for line in sums}
    told = subprocess.run(
        ["md5sum", "--check", "--quiet", str(tmp_path / "control" / "md5sums")],
        cwd=tmp_path / "files",
        check=False,
    )
    assert told.returncode == 0


@pytest.mark.parametrize("moment", ["upgrade", "abort-install", "failed-upgrade", "deconfigure"])
@pytest.mark.parametrize("script", ["prerm", "postrm"])
def test_while_upgrading_nothing_is_stopped_or_removed(
    tmp_path: Path, script: str, moment: str
) -> None:
    said = {"DPKG_MAINTSCRIPT_PACKAGE": "onggi", "DPKG_MAINTSCRIPT_NAME": script}
    done = subprocess.run(
        ["/bin/bash", "-x", str(ROOT / "installer" / "uninstall.sh"), moment, "9.9"],
        env={"PATH": str(tmp_path), **said},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    steps = [line.split()[1] for line in done.stderr.splitlines()]
    assert steps[-3:] == ["as_maintainer_script", "case", "exit"]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("0.1.0", "0.1.1"),
        ("0.9.0", "0.10.0"),
        ("1.0.0rc1", "1.0.0"),
        ("1.0.0b2", "1.0.0rc1"),
        ("1.0.0.dev3", "1.0.0a1"),
        ("1.0.0", "1.0.0.post1"),
    ],
)
def test_dpkg_orders_versions_as_python_does(earlier: str, later: str) -> None:
    words = [debian.version_of(earlier), "lt", debian.version_of(later)]
    assert subprocess.run(["dpkg", "--compare-versions", *words], check=False).returncode == 0


def _touch(parts: dict[str, bytes | Path]) -> None:
    parts["uninstall.sh"] = b"#!/bin/sh\n"


def _add(parts: dict[str, bytes | Path]) -> None:
    parts["systemd/more.service"] = b"[Service]\n"


def _leave_out(parts: dict[str, bytes | Path]) -> None:
    del parts["uninstall.sh"]


def _promise_else(parts: dict[str, bytes | Path]) -> None:
    content = parts[manifest.NAME]
    assert isinstance(content, bytes)
    parts[manifest.NAME] = content.replace(b"9.9", b"9.8")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_touch, "uninstall.sh is not what the manifest says"),
        (_add, "differ about systemd/more.service"),
        (_leave_out, "differ about uninstall.sh"),
        (_promise_else, "The signature is not that of"),
    ],
)
def test_of_a_changed_bundle_there_is_no_package(
    key: Path, tmp_path: Path, change: Change, sentence: str
) -> None:
    changed = bundle(tmp_path, key.with_suffix(".key"), change)
    with pytest.raises(NotBuilt, match=re.escape(sentence)):
        debian.build(changed, key, tmp_path, WHO)
    assert list(tmp_path.iterdir()) == [changed]


def test_what_is_wrong_is_a_sentence(
    key: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sentence in [
        ((str(ROOT / "LICENSE"), "--key", str(key)), "is no bundle of Onggi"),
        ((str(tmp_path / "absent"), "--key", str(key)), "is no bundle of Onggi"),
        ((str(bundle(tmp_path, key.with_suffix(".key"))), "--key", "x"), "holds no public key"),
    ]:
        assert debian.main([*words, "--out", str(tmp_path)]) == 78
        assert sentence in capsys.readouterr().err
