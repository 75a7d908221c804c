"""What opens a silo's keys: laid there by systemd, or opened by root for a command."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.cli.credentials import ring_of, rings_of
from agent.errors import Stop
from agent.key_file import is_sealed
from agent.key_ring import NONE, RingKey

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

_RAW = bytes(range(100, 132))
_OPENER = """#!/bin/sh
echo "$@" >> {folder}/asked
case $2 in --name=onggi-keys) name=onggi-keys ;; *) exit 1 ;; esac
[ "$(cat "$3")" = "of this host" ] || {{ echo noise >&2; echo "Protocol error" >&2; exit 1; }}
cat {folder}/key
"""


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-creds that opens what says that it is of this host."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "key").write_bytes(_RAW)
    program = folder / "systemd-creds"
    program.write_text(_OPENER.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return folder


def _credential(home: "Home", content: str, name: str = "onggi-keys") -> Path:
    path = home.config.parent / "credentials" / f"{name}.cred"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def test_a_service_takes_what_systemd_laid_before_it(home: "Home", opener: Path) -> None:
    handed = home.root / "handed"
    handed.mkdir()
    (handed / "onggi-keys").write_bytes(bytes(32))
    _credential(home, "of this host")
    found = ring_of("keeper", home.config, handed)
    assert found is not None
    assert found.mark == RingKey(bytes(32)).mark
    assert not (opener / "asked").exists()
    assert ring_of("predict", home.config, handed) is None
    assert ring_of("reader@lims", home.config, handed) is None


def test_root_opens_what_is_beside_the_configuration(home: "Home", opener: Path) -> None:
    assert rings_of(home.config, None).keeper is None, "none was made"
    path = _credential(home, "of this host")
    found = rings_of(home.config, None)
    assert found.keeper is not None
    assert found.keeper.mark == RingKey(_RAW).mark
    assert found.courier is None
    asked = (opener / "asked").read_text()
    assert asked == f"decrypt --name=onggi-keys {path} -\n"


def test_nobody_but_root_asks(home: "Home", opener: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _credential(home, "of this host")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    handed = home.root / "handed"
    handed.mkdir()
    (handed / "onggi-keys").write_bytes(NONE)
    assert ring_of("keeper", home.config, handed) is None
    assert not (opener / "asked").exists()


def test_a_credential_of_another_host_is_said(home: "Home", opener: Path) -> None:
    _credential(home, "of another host")
    with pytest.raises(Stop, match=r"Protocol error.*enrol anew") as caught:
        ring_of("keeper", home.config, None)
    assert caught.value.exit_code == 78


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_credential_that_is_no_key_is_said_and_not_shown(
    home: "Home", opener: Path, length: int
) -> None:
    _credential(home, "of this host")
    (opener / "key").write_bytes(b"s" * length)
    with pytest.raises(Stop, match=f"holds {length} bytes") as caught:
        ring_of("keeper", home.config, None)
    assert "ssss" not in str(caught.value)


def test_a_host_without_systemd_says_so(home: "Home", monkeypatch: pytest.MonkeyPatch) -> None:
    _credential(home, "of this host")
    monkeypatch.setenv("PATH", str(home.root))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(Stop, match="systemd-creds is not on this host"):
        ring_of("keeper", home.config, None)


def test_keys_that_root_makes_rest_sealed(home: "Home", opener: Path) -> None:
    _credential(home, "of this host")
    first = home.said("keygen")
    assert home.said("keygen") == first
    sealed = {path.name for path in home.root.rglob("*.key") if is_sealed(path.read_bytes())}
    assert sealed == {"sign.key", "seal.key", "pq-sign.key"}
    _credential(home, "of this host").unlink()
    assert "run this as root" in str(home.error("keygen"))


def test_the_folder_of_a_unit_comes_by_the_environment(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = home.root / "handed"
    handed.mkdir()
    for name in ("onggi-keys", "onggi-courier-keys"):
        (handed / name).write_bytes(os.urandom(32))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(handed))
    first = home.said("keygen")
    assert all(is_sealed(path.read_bytes()) for path in home.root.rglob("*.key"))
    assert home.said("keygen") == first
