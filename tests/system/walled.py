"""Lets the attacking program run within a service's walls, and outside of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.doctor.sandbox import derive
from tests.system.machine import Machine

_PROGRAM = Path(__file__).with_name("attack.py")
_PLACE = "/usr/local/lib/onggi-attack"
_UNITS = "etc/systemd/system"
SET_UID_PROGRAM = f"{_PLACE}/id"
_ANSWER = Path("/var/onggi-attack/answer.json")
# What a unit of the attack does otherwise than the service: when and what it runs.
_OTHERWISE = frozenset({"Type", "ExecStart", "ExecReload", "Restart", "Sockets", "NotifyAccess"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attack.

    Attributes:
        through: It did what must not be done.
        why: What refused it.
    """

    through: bool
    why: str


class Walled:
    """Runs attacks on a machine where the units are installed.

    Attributes:
        facts: What the attacking program knows: addresses, and the services' process numbers.
    """

    def __init__(self, machine: Machine, facts: dict[str, str]) -> None:
        self._machine = machine
        self.facts = facts
        place = machine.root / _PLACE.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "attack.py").write_text(_PROGRAM.read_text())
        (place / "facts.json").write_text(json.dumps(facts))
        machine.run("install", "-o", "root", "-m", "4755", "/usr/bin/id", SET_UID_PROGRAM)

    def within(
        self, unit: str, attacks: Iterable[str], without: Sequence[str] = (), more: str = ""
    ) -> dict[str, Outcome]:
        """Attacks from within a unit's walls.

        Args:
            unit: Such as `onggi-keeper`.
            attacks: See `attack.py`.
            without: Directives that are taken away.
            more: Lines that are added, as a drop-in adds them.
        """
        name, text = self.derived(unit, attacks, without)
        return self._run(name, f"{text}\n[Service]\n{more}")

    def as_user(self, user: str, attacks: Iterable[str]) -> dict[str, Outcome]:
        """Attacks as a user, with no wall but the rights that files and processes have."""
        text = f"[Service]\nUser={user}\n"
        return self._run(
            f"onggi-attack-{user}", derive(text, self._command(user, attacks), _ANSWER)
        )

    def derived(
        self, unit: str, attacks: Iterable[str], without: Sequence[str] = ()
    ) -> tuple[str, str]:
        """Returns name and content of a unit that has another's walls and runs the attacks."""
        shown = self._machine.run("systemctl", "cat", f"{unit}.service").stdout
        kept = [line for line in shown.splitlines() if line.partition("=")[0] not in without]
        who = unit.replace("onggi-", "", 1)
        name = unit.replace("onggi-", "onggi-attack-", 1)
        return name, derive("\n".join(kept), self._command(who.partition("@")[0], attacks), _ANSWER)

    def walls(self, unit: str) -> set[str]:
        """Returns the directives of a unit that are its walls."""
        shown = self._machine.run("systemctl", "cat", f"{unit}.service").stdout
        lines = shown.partition("[Service]")[2].partition("[Install]")[0].splitlines()
        keys = {line.partition("=")[0] for line in lines if "=" in line and line[0] not in "#[;"}
        return keys - _OTHERWISE

    def understood(self, unit: str, directives: Iterable[str]) -> dict[str, list[str]]:
        """Returns what systemd makes of a unit's directives, where it shows them; in no order."""
        words = (f"--property={','.join(sorted(directives))}", f"{unit}.service")
        lines = self._machine.run("systemctl", "show", *words).stdout.splitlines()
        split = (line.partition("=") for line in lines)
        return {key: sorted(value.split()) for key, _, value in split}

    def install(self, name: str, text: str) -> None:
        """Lets systemd know a unit; a template under its template's name."""
        stem, at, _ = name.partition("@")
        (self._machine.root / _UNITS / f"{stem}{at}.service").write_text(text)
        self._machine.run("systemctl", "daemon-reload")

    def _command(self, who: str, attacks: Iterable[str]) -> str:
        words = ("/usr/bin/python3", f"{_PLACE}/attack.py", f"{_PLACE}/facts.json", who, *attacks)
        return " ".join(words)

    def _run(self, name: str, text: str) -> dict[str, Outcome]:
        answer = self._machine.root / str(_ANSWER).lstrip("/")
        answer.parent.mkdir(parents=True, exist_ok=True)
        answer.unlink(missing_ok=True)
        self.install(name, text)
        self._machine.run("systemctl", "start", f"{name}.service")
        found = json.loads(answer.read_text())
        outcomes = {attack: Outcome(**one) for attack, one in found.items()}
        mistakes = {attack: one.why for attack, one in outcomes.items() if "mistake" in one.why}
        assert not mistakes
        return outcomes
