"""The one file that a host is installed from: built alike each time, believed only when whole."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from installer.bundling import manifest, sbom
from installer.bundling.build import main
from installer.bundling.wheels import NotBuilt, Wheel, read, without
from tests.kit.bundled import EPOCH_S, Change, bundle, texts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "release.key"
    manifest.new_key(path)
    return path


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "installer" / "install.sh")
    command = ["env", f"PYTHON={sys.executable}", "bash", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def dry(made: Path, key: Path, root: Path) -> subprocess.CompletedProcess[str]:
    public = str(key.with_suffix(".pub"))
    return install("--dry-run", "--key", public, "--root", str(root), str(made))


def test_equal_parts_make_equal_bytes_and_the_manifest_comes_first(
    key: Path, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    first, second = bundle(tmp_path, key), bundle(tmp_path / "b", key)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as made:
        names = made.getnames()
        owners = {(entry.uid, entry.gid, entry.mtime) for entry in made}
    assert names[0] == manifest.NAME
    assert names[1:] == sorted(names[1:])
    assert owners == {(0, 0, EPOCH_S)}


def test_a_dry_run_says_everything_and_changes_nothing(key: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = dry(bundle(tmp_path, key), key, root)
    assert (done.returncode, done.stderr) == (0, "")
    assert not root.exists()
    steps = ("-m venv --without-pip", "with_pip", "systemd-sysusers", "enable onggi-keeper")
    positions = [done.stdout.index(step) for step in steps]
    assert positions == sorted(positions)
    assert str(root / "usr/lib/systemd/system/onggi-reader@.service") in done.stdout


def _touch(parts: dict[str, bytes | Path]) -> None:
    parts["systemd/onggi-keeper.service"] = b"[Service]\nExecStart=/bin/sh\n"


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
        (_touch, "is not what its manifest says"),
        (_leave_out, "is not what its manifest says"),
        (_add, "files that its manifest does not name"),
        (_promise_else, "The signature is not that of"),
    ],
)
def test_what_was_changed_is_not_installed(
    key: Path, tmp_path: Path, change: Change, sentence: str
) -> None:
    done = dry(bundle(tmp_path, key, change), key, tmp_path / "root")
    assert done.returncode == 78
    assert sentence in done.stderr


def test_another_key_and_another_python_are_named(key: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    manifest.new_key(other)
    done = dry(bundle(tmp_path, key), other, tmp_path / "root")
    assert (done.returncode, "do not install this file" in done.stderr) == (78, True)
    done = dry(bundle(tmp_path, key, python="3.99"), key, tmp_path / "root")
    assert done.returncode == 78
    assert "needs Python 3.99" in done.stderr
    done = dry(bundle(tmp_path, key, machine="sparc"), key, tmp_path / "root")
    assert (done.returncode, "is for sparc" in done.stderr) == (78, True)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ((), 2, "usage: install.sh"),
        (("absent.bundle",), 78, "There is no file"),
        ((str(ROOT / "LICENSE"),), 78, "Name the key that signs bundles"),
        (("--key", str(ROOT / "LICENSE"), str(ROOT / "LICENSE")), 78, "no bundle of Onggi"),
    ],
)
def test_the_installer_says_what_is_wrong(
    tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = install("--dry-run", "--root", str(tmp_path / "root"), *arguments)
    assert done.returncode == code
    assert sentence in done.stderr


def test_an_archive_with_a_link_is_not_installed(key: Path, tmp_path: Path) -> None:
    made = bundle(tmp_path, key)
    with tarfile.open(made, "a") as archived:
        link = tarfile.TarInfo("wheels/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archived.addfile(link)
    done = dry(made, key, tmp_path / "root")
    assert (done.returncode, "holds links" in done.stderr) == (78, True)


def test_the_manifest_names_what_the_installer_reads(key: Path, tmp_path: Path) -> None:
    with tarfile.open(bundle(tmp_path, key)) as made:
        handle = made.extractfile(manifest.NAME)
        assert handle is not None
        content = handle.read()
    assert content.startswith(b"# onggi-bundle/1\n")
    assert manifest.facts_of(content)["version"] == "9.9"
    assert len(re.findall(rb"^[0-9a-f]{64}  \S", content, flags=re.M)) == len(texts())


def test_the_list_of_parts_is_equal_for_equal_wheels() -> None:
    wheels = [Wheel(Path("a.whl"), "numpy", "2.0", "BSD-3-Clause", "ab" * 32)]
    first, second = (sbom.sbom("1", wheels, EPOCH_S) for _ in range(2))
    assert first == second
    assert b'"pkg:pypi/numpy@2.0"' in first


def test_a_lock_without_some_packages_keeps_the_others_whole() -> None:
    lock = "a==1 \\\n    --hash=sha256:1\nb==2 ; x \\\n    --hash=sha256:2\nc==3\n"
    assert without(lock, frozenset({"b"})) == "a==1 \\\n    --hash=sha256:1\nc==3\n"


def test_bad_input_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.whl").write_bytes(b"PK")
    with pytest.raises(NotBuilt, match="is no wheel"):
        read(tmp_path / "no.whl")
    assert main([]) == 78
    assert "--new-key" in capsys.readouterr().err
    (tmp_path / "bad.key").write_text("nothing")
    with pytest.raises(NotBuilt, match="no signing key"):
        manifest.sign(b"", tmp_path / "bad.key")
