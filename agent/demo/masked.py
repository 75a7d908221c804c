"""The masked demo: what its plan asks for, and the silo that drops out mid-round."""

from collections.abc import Sequence
from typing import Any

from agent.demo.display import Display
from agent.demo.held import rows_of
from agent.demo.parties import Aggregator, Party

SILOS, ROUNDS = 6, 4
_STEP_S = 60.0
# The round in which a silo drops out: by then all of them have their data and their snapshot.
_DROPPED = 2


def masking() -> dict[str, Any]:
    """Returns what the demo's plan has beside the usual, so that updates are masked.

    Its rounds have twice the draft's epochs, in smaller batches: so the clip is wider, too.
    """
    rules = {"n_min": 5, "clip": 0.05, "bias_clip": 0.2, "step_s": _STEP_S}
    privacy = {"mode": "none", "masking": rules}
    return {"privacy": privacy, "quorum": 5, "round_deadline_s": 900.0}


class Dropout:
    """Ends the silo whose keys of the second round come first, until that round is over.

    It cannot have sent its update by then, for that takes everybody's keys.
    """

    def __init__(self, aggregator: Aggregator, parties: Sequence[Party], display: Display) -> None:
        self._database = aggregator.folder / "aggregator.sqlite3"
        self._parties = parties
        self._display = display
        self._round, self.silo = "", ""
        self.away: Party | None = None

    def look(self) -> None:
        """Looks whether it is time to end a silo, or to start it again."""
        if not self.silo:
            found = rows_of(
                self._database,
                "SELECT silo, round_id FROM masked WHERE step = 'masked_keys' AND round_id IN "
                "(SELECT round_id FROM rounds WHERE number = ? AND state = 'collecting') "
                "ORDER BY number LIMIT 1",
                _DROPPED,
            )
            if found:
                self.silo, self._round = found[0]
                self.away = next(one for one in self._parties if one.name == self.silo)
                self.away.end()
                self._display.say(
                    f"{self.silo} has sent its keys of {self._round} and drops out; the others "
                    f"wait {_STEP_S:.0f} s for its update and go on without it."
                )
        elif self.away is not None and self._state() in {"aggregated", "aborted"}:
            self._display.say(f"{self._round} is {self._state()}; {self.silo} starts again.")
            self.away = None

    def _state(self) -> str:
        rows = rows_of(self._database, "SELECT state FROM rounds WHERE round_id = ?", self._round)
        return str(rows[0][0]) if rows else ""
