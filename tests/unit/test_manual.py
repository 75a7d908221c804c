"""The manual page is what the commands say of themselves, and roff finds no fault with it."""

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from agent.cli.main import onggi
from installer.manual import manual

PAGE = Path(__file__).parents[2] / "docs" / "onggi.1"


def test_it_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual(), "Write it anew: make manual"


def test_every_command_and_option_is_in_it() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("\\-", "-")
    context = click.Context(onggi, info_name="onggi")
    for name in onggi.list_commands(context):
        command = onggi.get_command(context, name)
        assert command is not None
        assert (f'.SS "onggi {name}"' in page) != command.hidden
        shown = (one for one in command.params if isinstance(one, click.Option) and not one.hidden)
        for option in () if command.hidden else shown:
            assert option.opts[0] in page
    for code in (0, 1, 2, 75, 78):
        assert f"\\fB{code}\\fR" in page


def test_no_text_is_taken_for_a_macro() -> None:
    macros = re.findall(r"^[.'](\w*)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(macros) == {"TH", "SH", "SS", "PP", "TP"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff, which renders the page")
def test_it_renders_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-rCHECKSTYLE=3", str(PAGE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    shown = re.sub(r".\x08", "", done.stdout)  # bold, as terminals of old were told
    assert "onggi outbox approve [OPTIONS]" in shown
    assert "\\" not in shown
