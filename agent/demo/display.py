"""Live progress on a terminal; plain lines where there is none."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.clock import monotonic_s
from agent.demo.watching import Glance


class Display:
    """Shows where every party is.

    Args:
        console: Where to draw; one that is no terminal gets a line for each change.
        rounds: How many rounds the plan has.
    """

    def __init__(self, console: Console, rounds: int) -> None:
        self._console = console
        self._rounds = rounds
        self._start_s = monotonic_s()
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._shown: dict[str, str] = {}

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Takes the moving picture away; lines that were said stay."""
        if self._live.is_started:
            self._live.stop()

    def say(self, sentence: str) -> None:
        """Prints a line that stays."""
        elapsed = f"[dim]{monotonic_s() - self._start_s:5.0f} s[/]"
        self._console.print(f"{elapsed}  {sentence}", highlight=False, soft_wrap=True)

    def show(self, glances: Sequence[Glance], consortium: dict[str, Any] | None) -> None:
        """Shows the present state."""
        if self._console.is_terminal:
            self._live.update(self._picture(glances, consortium))
        else:
            self._lines(glances, consortium)

    def _picture(self, glances: Sequence[Glance], consortium: dict[str, Any] | None) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading, justify in (
            ("silo", "left"),
            ("used", "right"),
            ("set aside", "right"),
            ("updates", "right"),
            ("now", "left"),
            ("release", "left"),
        ):
            table.add_column(heading, justify="right" if justify == "right" else "left")
        for g in glances:
            table.add_row(
                g.silo,
                str(g.used),
                str(g.set_aside),
                f"{g.acknowledged}/{self._rounds}",
                g.stage,
                g.release,
            )
        minutes, seconds = divmod(int(monotonic_s() - self._start_s), 60)
        head = Text(f"{minutes}:{seconds:02d}  aggregator: {_consortium_line(consortium)}")
        return Group(head, table)

    def _lines(self, glances: Sequence[Glance], consortium: dict[str, Any] | None) -> None:
        lines = {"aggregator": _consortium_line(consortium)}
        for g in glances:
            release = f", release {g.release}" if g.release else ""
            stage = g.stage.rstrip("0123456789/ ")
            lines[g.silo] = f"{g.used} used, {g.acknowledged} updates, {stage}{release}"
        for name, line in lines.items():
            if self._shown.get(name) != line:
                self._shown[name] = line
                self.say(f"{name}: {line}")


def _consortium_line(consortium: dict[str, Any] | None) -> str:
    if consortium is None:
        return "away"
    if not consortium["rounds"]:
        return f"{len(consortium['members'])} silos enrolled"
    last = consortium["rounds"][-1]
    held = last["held"] + len(last["counted"])
    releases = f", {len(consortium['releases'])} release(s)" if consortium["releases"] else ""
    return f"round {last['number']} {last['state']}, {held} update(s){releases}"
