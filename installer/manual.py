"""The manual page, from the commands' own help: `python -m installer.manual > docs/onggi.1`."""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator

import click

from agent.cli.main import onggi

_ENDS = [
    ("0", "Done."),
    ("1", "Failed or refused; the last line says why."),
    ("2", "Wrong usage of the command line."),
    ("75", "Try again later: the other side is away, or another process holds the lock."),
    ("78", "A person must change something first; the last line says what."),
]
_FILES = [
    ("/etc/onggi/onggi.toml", "The configuration; every line of its template explains itself."),
    ("/etc/onggi/policy.toml", "What may be asked of this silo, and what may leave it."),
    ("/etc/onggi/courier.env", "HTTPS_PROXY and NO_PROXY of the courier."),
    ("/var/lib/onggi/", "The state: keys, ledger, releases."),
    ("/opt/onggi/current", "The version of the program that is in use."),
]
_SERVICES = (
    "As services systemd starts onggi-keeper, onggi-courier, onggi-predict and, for each database, "
    "onggi-reader@NAME."
)


def manual() -> str:
    """Returns the page, in roff with the macros of man(7).

    It bears neither date nor version, so that only a change of the help changes it.
    """
    root = click.Context(onggi, info_name="onggi")
    lines = ['.TH ONGGI 1 "" "Onggi" "Onggi"', ".SH NAME"]
    lines += [r"onggi \- learn ADMET models from your own assays, together with others"]
    lines += [".SH SYNOPSIS", *_usage(root), ".SH DESCRIPTION", *_paragraphs(onggi.help or "")]
    lines += [".PP", *_filled(_SERVICES), ".SH OPTIONS", *_options(root)]
    lines += [".SH COMMANDS"]
    for context in _commands(root):
        lines += [f".SS {_quoted(context.command_path)}", *_usage(context)]
        lines += [".PP", *_paragraphs(context.command.help or ""), *_options(context)]
    lines += [".SH EXIT STATUS", *_terms(_ENDS), ".SH FILES", *_terms(_FILES)]
    return "\n".join(lines) + "\n"


def _commands(parent: click.Context) -> Iterator[click.Context]:
    """Yields a context for each command that is not hidden, a group before what is in it."""
    group = parent.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(parent):
        command = group.get_command(parent, name)
        if command is not None and not command.hidden:
            context = click.Context(command, info_name=name, parent=parent)
            yield context
            yield from _commands(context)


def _usage(context: click.Context) -> list[str]:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return [rf"\fB{_text(context.command_path)}\fR {_text(pieces)}".rstrip()]


def _options(context: click.Context) -> list[str]:
    found = (
        one.get_help_record(context)
        for one in context.command.get_params(context)
        if "--help" not in one.opts
    )
    return _terms([record for record in found if record is not None and record[1]])


def _terms(records: list[tuple[str, str]]) -> list[str]:
    lines = []
    for term, meaning in records:
        lines += [".TP", rf"\fB{_text(term)}\fR", *_filled(meaning)]
    return lines


def _paragraphs(help_: str) -> list[str]:
    # Click's marks: \b before a paragraph that keeps its lines, \f before what is not shown.
    shown = inspect.cleandoc(help_.split("\f", 1)[0])
    lines: list[str] = []
    for paragraph in re.split(r"\n{2,}", shown):
        lines += [".PP"] if lines else []
        if paragraph.startswith("\b\n"):
            lines += [".nf", *map(_text, paragraph.split("\n")[1:]), ".fi"]
        else:
            lines += _filled(paragraph)
    return lines


def _filled(text: str) -> list[str]:
    # 72 characters, since some of them become two.
    return [_text(line) for line in textwrap.wrap(text, 72, break_on_hyphens=False)]


def _text(text: str) -> str:
    """Writes text so that roff prints just that: no macro, and hyphens that can be copied."""
    plain = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{plain}" if plain.startswith((".", "'")) else plain


def _quoted(text: str) -> str:
    return '"' + _text(text).replace('"', r"\(dq") + '"'


if __name__ == "__main__":
    sys.stdout.write(manual())
