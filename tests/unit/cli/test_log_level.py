"""How much the services log, changed while they run; systemctl is a script that notes its words."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Stop, TryLater

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

_SYSTEMCTL = """#!/bin/sh
echo "$@" >> {folder}/asked
[ "$1" != list-units ] || exec cat {folder}/units
[ ! -e {folder}/refuses ] || {{ echo no >&2; exit 1; }}
"""
_UNITS = """onggi-keeper.service loaded active running Onggi keeper
onggi-reader@lims.service loaded active running Onggi reader
"""


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "units").write_text(_UNITS)
    program = folder / "systemctl"
    program.write_text(_SYSTEMCTL.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_all_that_run_are_told_and_no_worker_is(home: "Home", systemctl: Path) -> None:
    said = home.said("log-level", "debug")
    assert said == "onggi-keeper logs debug.\nonggi-reader@lims logs debug.\n"
    asked = (systemctl / "asked").read_text().splitlines()
    assert asked[-1] == (
        "kill --kill-who=main --signal=SIGUSR1 onggi-keeper.service onggi-reader@lims.service"
    )


def test_one_is_told_by_its_name(home: "Home", systemctl: Path) -> None:
    assert home.said("log-level", "INFO", "--service", "predict") == "onggi-predict logs info.\n"
    assert (systemctl / "asked").read_text() == (
        "kill --kill-who=main --signal=SIGUSR2 onggi-predict.service\n"
    )


def test_where_none_runs_it_says_so(home: "Home", systemctl: Path) -> None:
    (systemctl / "units").write_text("")
    error = home.error("log-level", "debug")
    assert isinstance(error, TryLater)
    assert "No service" in str(error)


def test_what_systemd_refuses_is_said(home: "Home", systemctl: Path) -> None:
    (systemctl / "refuses").touch()
    error = home.error("log-level", "debug")
    assert isinstance(error, Stop)
    assert "(no)" in str(error)


def test_without_systemd_there_is_another_way(
    home: "Home", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home.root))
    assert "--log-level debug" in str(home.error("log-level", "info"))
