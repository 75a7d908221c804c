import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from agent import __version__
from agent.cli import main
from agent.errors import (
    EXIT_FAILED,
    EXIT_STOP,
    EXIT_TRY_LATER,
    EXIT_USAGE,
    OnggiError,
    Refused,
    Stop,
    TryLater,
)


@pytest.mark.parametrize("target", main._COMMANDS.values(), ids=list(main._COMMANDS))
def test_every_command_is_where_the_table_says(target: str) -> None:
    module, _, name = target.partition(":")
    command = getattr(import_module(module), name)
    assert isinstance(command, click.Command)
    assert command.help


def _exit(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(main, "onggi", fail)
    with pytest.raises(SystemExit) as done:
        main.main()
    return int(str(done.value.code))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OnggiError("It failed."), EXIT_FAILED),
        (Refused("broken_chain", "Line 2 was altered."), EXIT_FAILED),
        (TryLater("Busy."), EXIT_TRY_LATER),
        (Stop("Change something."), EXIT_STOP),
        (click.UsageError("Name a FILE."), EXIT_USAGE),
        (click.Abort(), EXIT_FAILED),
        (KeyboardInterrupt(), EXIT_FAILED),
    ],
)
def test_errors_become_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    assert _exit(monkeypatch, error) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err


def test_help_and_version() -> None:
    runner = CliRunner()
    shown = runner.invoke(main.onggi, ["--help"])
    assert shown.exit_code == 0
    for command in ("keygen", "enroll", "run", "status", "ingest", "egress", "demo"):
        assert command in shown.output
    assert __version__ in runner.invoke(main.onggi, ["--version"]).output


@pytest.mark.parametrize("arguments", [["no-such"], ["--log-level", "LOUD", "status"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(main.onggi, arguments).exit_code == EXIT_USAGE


def test_the_process_ends_with_the_code(tmp_path: Path) -> None:
    config = tmp_path / "none.toml"
    command = [sys.executable, "-m", "agent", "--config", str(config), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_STOP
    assert done.stderr.startswith("onggi: Cannot read")
    assert done.stdout == ""


def test_a_command_imports_only_what_it_needs() -> None:
    program = (
        "import sys; from agent.cli.main import onggi\n"
        "onggi(['--version'], standalone_mode=False)\n"
        "heavy = {'torch', 'rdkit', 'polars', 'onnxruntime', 'sqlalchemy', 'fastapi', 'nacl'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
