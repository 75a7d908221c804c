"""How far the database reader has come: a watermark, and every row already seen near it.

A transaction that began early may commit late, with a watermark older than the last one read. So
each pass looks again at a window before the watermark, and the state holds every row seen in it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from agent.errors import Stop
from agent.files import write_atomic

Value = object
"""A cell as a database driver returns it; anything else is written as its text."""

Mark = tuple[Value, Value]
"""A row's watermark and its key."""

_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")
_MINUTE_CHARS = 16  # of "2026-01-02 03:04"


@dataclass(frozen=True, slots=True)
class State:
    """Everything the reader must remember.

    Attributes:
        sequence: Number of the last batch; 0 before the first.
        watermark: The greatest watermark read, or `None` before the first row.
        since: Where the window begins: no later than the watermark. A pass begins here.
        keys: Watermark and key of every row read from `since` on: whatever else comes to light
            there is new.
        columns: The watermark's and the key's column, which must not change silently.
    """

    sequence: int = 0
    watermark: Value = None
    since: Value = None
    keys: frozenset[Mark] = frozenset()
    columns: tuple[str, ...] = ()

    def check(self, *columns: str) -> None:
        """Compares the columns that the state was made with.

        Raises:
            Stop: They differ, so the watermark means something else.
        """
        if self.columns and self.columns != columns:
            raise Stop(
                "The store's watermark or key column was changed; remove the reader's state file "
                "to read everything again."
            )

    def advanced(self, marks: Sequence[Mark], *columns: str, overlap_s: float = 0.0) -> "State":
        """Returns the state after rows with these watermarks and keys.

        Args:
            marks: In the database's order.
            columns: The watermark's and the key's.
            overlap_s: Length of the window; a watermark that is no time has none.
        """
        last = marks[-1][0]
        watermark = self.watermark if _earlier(last, self.watermark) else last
        since = before(watermark, overlap_s)
        if _earlier(since, self.since):  # a longer window than before is not remembered yet
            since = self.since
        keys = _within(self.keys, since, watermark) | _within(marks, since, watermark)
        return State(self.sequence + 1, watermark, since, keys, columns)

    def to_document(self) -> dict[str, object]:
        """Writes the state as JSON types."""
        return self._document(self.keys)

    def step(self, marks: Sequence[Mark]) -> dict[str, object]:
        """Writes what one batch changed, so that its size does not grow with the window's rows.

        Args:
            marks: Watermarks and keys of the batch's rows, which led to this state.
        """
        return self._document(_within(marks, self.since, self.watermark))

    def after_step(self, document: dict[str, object], origin: Path) -> "State":
        """Returns the state after a batch, from what `step` wrote.

        Raises:
            Stop: It is damaged.
        """
        step = State.from_document(document, origin)
        keys = step.keys | _within(self.keys, step.since, step.watermark)
        return State(step.sequence, step.watermark, step.since, keys, step.columns)

    def _document(self, keys: Iterable[Mark]) -> dict[str, object]:
        # A bulk load gives many rows one watermark: it is written once.
        grouped: dict[str, list[object]] = {}
        for mark, key in keys:
            grouped.setdefault(json.dumps(_tagged(mark)), []).append(_tagged(key))
        return {
            "sequence": self.sequence,
            "watermark": _tagged(self.watermark),
            "since": _tagged(self.since),
            "seen": [
                [json.loads(mark), sorted(found, key=json.dumps)]
                for mark, found in sorted(grouped.items())
            ],
            "columns": list(self.columns),
        }

    @classmethod
    def from_document(cls, document: dict[str, object], origin: Path) -> "State":
        """Reads what `to_document` wrote.

        Raises:
            Stop: It is damaged.
        """
        try:
            sequence, columns = document["sequence"], document["columns"]
            if not isinstance(sequence, int):
                raise TypeError("wrong type")  # noqa: TRY301  (handled like the others below)
            watermark = _untagged(document["watermark"])
            return cls(
                sequence,
                watermark,
                _untagged(document["since"]) if "since" in document else watermark,
                _seen(document, watermark),
                tuple(map(str, columns if isinstance(columns, list) else ())),
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise Stop(
                f"The reader's state in {origin} is damaged; restore or remove it."
            ) from error

    @classmethod
    def load(cls, path: Path) -> "State":
        """Reads the state file, or starts anew where there is none.

        Raises:
            Stop: It cannot be read or is damaged.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise Stop(f"The reader's state in {path} is damaged; restore or remove it.") from error
        return cls.from_document(document, path)

    def save(self, path: Path) -> None:
        """Writes the state durably."""
        write_atomic(path, json.dumps(self.to_document(), ensure_ascii=False).encode())


def before(watermark: Value, overlap_s: float) -> Value:
    """Returns the watermark that lies so many seconds earlier, or the same where it is no time.

    Args:
        watermark: A time, a day, or either as ISO 8601 text; numbers and other texts have no
            seconds.
        overlap_s: Length of the window, in seconds; 0 for none.

    Returns:
        The same type. A text has no more than minutes and no zone, so that it sorts before every
        text of its form within that minute.
    """
    if overlap_s <= 0:
        return watermark
    overlap = timedelta(seconds=overlap_s)
    try:
        if isinstance(watermark, datetime):
            return watermark - overlap
        if isinstance(watermark, date):
            return (datetime.combine(watermark, time()) - overlap).date()
        if isinstance(watermark, str) and _ISO_DAY.match(watermark):
            moment = datetime.fromisoformat(watermark).replace(tzinfo=None) - overlap
            text = moment.isoformat(watermark[10:11] or "T")
            return text[: min(len(watermark), _MINUTE_CHARS)]
    except (ValueError, OverflowError):
        pass  # a text that only looks like a time, or the calendar's first day
    return watermark


def _is_time(value: Value) -> bool:
    return isinstance(value, date) or (isinstance(value, str) and bool(_ISO_DAY.match(value)))


def _earlier(one: Value, other: Value) -> bool:
    """Compares two times; other watermarks keep the database's order, which only it knows."""
    if not (_is_time(one) and _is_time(other)):
        return False
    # Two of one column: a date never meets a datetime there, nor a zone the lack of one.
    return type(one) is type(other) and one < other  # type: ignore[operator]


def _within(marks: Iterable[Mark], since: Value, watermark: Value) -> frozenset[Mark]:
    """Returns the rows of a window."""
    if since == watermark:
        return frozenset(entry for entry in marks if entry[0] == watermark)
    return frozenset(entry for entry in marks if not _earlier(entry[0], since))


def _seen(document: dict[str, object], watermark: Value) -> frozenset[Mark]:
    if "since" not in document:  # of version 0.1.0: the keys at the watermark alone
        return frozenset((watermark, _untagged(key)) for key in _list(document["keys"]))
    groups = [_list(group) for group in _list(document["seen"])]
    return frozenset(
        (_untagged(mark), _untagged(key)) for mark, keys in groups for key in _list(keys)
    )


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def to_json(value: Value) -> bool | int | float | str | None:
    """Writes a cell as JSON; dates as ISO 8601, anything unusual as its text."""
    if isinstance(value, float) and not -1e308 < value < 1e308:  # NaN and infinities
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _tagged(value: Value) -> list[object]:
    """Keeps the type beside the value, so that the database compares like with like."""
    if isinstance(value, (datetime, date)):
        return [type(value).__name__, value.isoformat()]
    if isinstance(value, (Decimal, UUID)):
        return [type(value).__name__, str(value)]
    if value is None or isinstance(value, (int, float, str)):
        return ["", value]
    raise Stop(
        f"The watermark or key column holds {type(value).__name__}; "
        "cast it to a number, a text or a time in the query."
    )


def _untagged(entry: object) -> Value:
    if not isinstance(entry, list) or len(entry) != 2:
        raise TypeError("not a tagged value")
    tag: object = entry[0]
    value: Value = entry[1]
    if not isinstance(value, str):
        return value
    match tag:
        case "datetime":
            return datetime.fromisoformat(value)
        case "date":
            return date.fromisoformat(value)
        case "Decimal":
            return Decimal(value)
        case "UUID":
            return UUID(value)
        case _:
            return value
