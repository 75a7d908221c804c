import json
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from agent.cli.evaluate import _table, to_json
from agent.cli.main import onggi
from agent.keeper.evaluation.order import (
    EndpointDetail,
    EndpointFigures,
    EvaluateOrder,
    Evaluation,
    FileAccount,
    Judgement,
)

_FIGURES = EndpointFigures(n=3, mae=0.25, rae=0.5, spearman=None, coverage_90=1.0)
_DETAIL = EndpointDetail(choice="averaged", n_train=9, mae_95=(0.2, 0.3), r2=0.1)
_FOUND = Evaluation(
    judgements=(
        Judgement(
            split="test",
            endpoints={"LogD": _FIGURES},
            details={"LogD": _DETAIL},
            mean_rae=0.5,
            train_seconds=1.5,
            compounds=(9, 3),
        ),
    ),
    files=(FileAccount(file="a.csv", used=12, set_aside={"structure_parse": 2}),),
    seconds={"all": 3.0},
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    data, profile = tmp_path / "a.csv", tmp_path / "p.toml"
    data.write_text("x\n")
    profile.write_text("version = 1\n")
    return data, profile


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[EvaluateOrder]:
    taken: list[EvaluateOrder] = []

    def instead(order: EvaluateOrder, folder: Path, _: object) -> Evaluation:
        assert folder.is_dir()
        taken.append(order)
        return _FOUND

    monkeypatch.setattr("agent.keeper.evaluation.start.evaluated", instead)
    return taken


def _run(files: tuple[Path, Path], *more: str) -> Result:
    data, profile = map(str, files)
    arguments = ["evaluate", "--data", data, "--profile", profile, *more]
    return CliRunner().invoke(onggi, arguments)


def test_json_has_the_figures_and_nothing_but_json(
    files: tuple[Path, Path], orders: list[EvaluateOrder]
) -> None:
    found = json.loads(_run(files, "--json").stdout)
    assert found["endpoints"] == {
        "LogD": {"n": 3, "mae": 0.25, "rae": 0.5, "spearman": None, "coverage_90": 1.0}
    }
    assert (found["mean_rae"], found["train_seconds"]) == (0.5, 1.5)
    assert found["more"]["files"][0]["set_aside"] == {"structure_parse": 2}
    assert found == json.loads(json.dumps(to_json(_FOUND)))
    assert orders[0].test == ""


def test_people_get_a_table(files: tuple[Path, Path], orders: list[EvaluateOrder]) -> None:
    said = _run(files).stdout
    for word in ("LogD", "0.250", "0.500", "averaged", "12 measurements used, 2 set aside"):
        assert word in said


def test_a_narrow_terminal_cuts_no_figure() -> None:
    (judgement,) = _FOUND.judgements
    name = "Caco-2 Permeability Papp A>B"
    wide = judgement.model_copy(update={"endpoints": {name: _FIGURES}, "details": {name: _DETAIL}})
    console = Console(width=80, file=StringIO())
    console.print(_table(wide))
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    for word in ("0.200–0.300", "Spearman", "averaged", *name.split()):
        assert word in said
    assert "…" not in said


def test_a_silo_s_files_are_gathered_under_its_name(
    files: tuple[Path, Path], orders: list[EvaluateOrder]
) -> None:
    data, profile = files
    pair = f"{data}:{profile}"
    _run(files, "--silo", f"az={pair}", "--silo", f"b={pair}", "--silo", f"az={pair}")
    assert [(silo.name, len(silo.files)) for silo in orders[0].silos] == [("az", 2), ("b", 1)]
    assert orders[0].silos[0].files[0].profile == str(profile)


@pytest.mark.parametrize("text", ["az", "az=x.csv", "=a:b", "az=gone.csv:gone.toml"])
def test_a_silo_that_is_written_wrongly_is_refused(files: tuple[Path, Path], text: str) -> None:
    found = _run(files, "--silo", text)
    assert found.exit_code == 2
    assert "--silo" in found.stderr
