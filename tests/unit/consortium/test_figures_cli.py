"""`onggi-aggregator figures`: a key, files of silos, and a sum that only the key's holder opens."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from agent.errors import EXIT_FAILED, EXIT_STOP
from agent.keys import SigningIdentity
from agent.wire.figures import KIND, Figures, key_id, sealed
from agent.wire.signed import sign
from consortium.cli import main
from consortium.rosters import Changes

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House

CHANGES = {"a": 0.5, "b": 0.42, "c": 0.4}


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["figures", *(str(one) for one in arguments)])


def _file(folder: Path, silo: str, signer: SigningIdentity, consortium: str = "demo") -> Path:
    public = (folder / "public").read_bytes()
    figures = Figures(
        consortium=consortium,
        silo=silo,
        release_id="release-1",
        weights_sha256="ab" * 32,
        heads=("logd", "herg"),
        key_sha256=key_id(public),
        pieces=sealed(public, ("logd", "herg"), {"logd": (0.4, CHANGES.get(silo, 0.4))}),
        created="2026-01-01T00:00:00Z",
    )
    path = folder / f"{silo}.figures"
    path.write_bytes(sign(KIND, figures.to_bytes(), signer))
    return path


@pytest.fixture
def made(house: "House", tmp_path: Path) -> list[Path]:
    house.enrol(*CHANGES)
    key, public = tmp_path / "key", tmp_path / "public"
    assert _run("key", "--out", key, "--public", public).exit_code == 0
    assert (key.stat().st_mode & 0o777) == 0o400
    return [_file(tmp_path, silo, house.silos[silo].sign) for silo in CHANGES]


def test_three_files_are_added_unread_and_opened_together(
    house: "House", made: list[Path], tmp_path: Path
) -> None:
    folder, total = ("--folder", house.folder.root), tmp_path / "sum"
    adding = ("add", *made, "--public", tmp_path / "public", "--out", total, *folder)
    assert "the sum of 3 silos on release-1" in _run(*adding).output
    opening = ("open", total, "--key", tmp_path / "key")
    assert _run(*opening).output == (
        "logd: 3 silos, +10.0% error in the mean\nherg: 0 silos, too few to say\n"
    )
    found = json.loads(_run(*opening, "--json").output)
    assert found["herg"] == {"silos": 0, "change": None}


def _code(result: Result, code: str) -> None:
    assert (result.exit_code, f"[{code}]" in result.output) == (EXIT_FAILED, True), result.output


def test_what_is_no_silos_file_is_refused(house: "House", made: list[Path], tmp_path: Path) -> None:
    rest = ("--public", tmp_path / "public", "--out", tmp_path / "sum", "--folder")
    root = house.folder.root
    _code(_run("add", *made[:2], *rest, root), "too_few_silos")
    forged = _file(tmp_path, "a", house.silos["b"].sign)
    _code(_run("add", forged, *made[1:], *rest, root), "unknown_signer")
    _code(_run("add", _file(tmp_path, "x", house.silos["b"].sign), *rest, root), "unknown_signer")
    foreign = _file(tmp_path, "a", house.silos["a"].sign, "other")
    _code(_run("add", foreign, *made[1:], *rest, root), "wrong_consortium")
    house.change(Changes(revoke=("b",)))
    _code(_run("add", made[1], *rest, root), "revoked")
    assert not (tmp_path / "sum").exists()


def test_files_that_are_not_there(house: "House", made: list[Path], tmp_path: Path) -> None:
    rest = ("--out", tmp_path / "sum", "--folder", house.folder.root)
    assert _run("add", tmp_path / "none", "--public", made[0], *rest).exit_code == EXIT_STOP
    assert _run("open", made[0], "--key", tmp_path / "none").exit_code == EXIT_FAILED
    again = _run("key", "--out", tmp_path / "key", "--public", tmp_path / "public")
    assert again.exit_code == EXIT_STOP
