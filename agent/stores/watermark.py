"""How far the database reader has come: a watermark and the keys already seen at it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from agent.errors import Stop
from agent.files import write_atomic

Value = object
"""A cell as a database driver returns it; anything else is written as its text."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything the reader must remember.

    Attributes:
        sequence: Number of the last batch; 0 before the first.
        watermark: The greatest watermark read, or `None` before the first row.
        last_key: The last key read, in the database's order.
        keys: Every key read at `watermark`: a row that comes late with it is still new.
        columns: The watermark's and the key's column, which must not change silently.
    """

    sequence: int = 0
    watermark: Value = None
    last_key: Value = None
    keys: frozenset[Value] = frozenset()
    columns: tuple[str, ...] = ()

    def has(self, watermark: Value, key: Value) -> bool:
        """Tells whether the row was read before."""
        return watermark == self.watermark and key in self.keys

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

    def advanced(self, marks: Sequence[tuple[Value, Value]], *columns: str) -> "State":
        """Returns the state after rows with these watermarks and keys, given in order."""
        watermark, last_key = marks[-1]
        keys = {key for mark, key in marks if mark == watermark}
        if watermark == self.watermark:
            keys |= self.keys
        return State(self.sequence + 1, watermark, last_key, frozenset(keys), columns)

    def to_document(self) -> dict[str, object]:
        """Writes the state as JSON types."""
        return self._document(self.keys)

    def step(self, marks: Sequence[tuple[Value, Value]], before: "State") -> dict[str, object]:
        """Writes what one batch changed, so that its size does not grow with the watermark's rows.

        Args:
            marks: Watermarks and keys of the batch's rows, which led to this state.
            before: The state that the batch began with.
        """
        new = frozenset(key for mark, key in marks if mark == self.watermark)
        return {**self._document(new), "adds": self.watermark == before.watermark}

    def after_step(self, document: dict[str, object], origin: Path) -> "State":
        """Returns the state after a batch, from what `step` wrote.

        Raises:
            Stop: It is damaged.
        """
        after = State.from_document(document, origin)
        return replace(after, keys=after.keys | self.keys) if document.get("adds") else after

    def _document(self, keys: frozenset[Value]) -> dict[str, object]:
        return {
            "sequence": self.sequence,
            "watermark": _tagged(self.watermark),
            "last_key": _tagged(self.last_key),
            "keys": sorted((_tagged(key) for key in keys), key=json.dumps),
            "columns": list(self.columns),
        }

    @classmethod
    def from_document(cls, document: dict[str, object], origin: Path) -> "State":
        """Reads what `to_document` wrote.

        Raises:
            Stop: It is damaged.
        """
        try:
            sequence, keys, columns = (document[name] for name in ("sequence", "keys", "columns"))
            if not (isinstance(sequence, int) and isinstance(keys, list)):
                raise TypeError("wrong type")  # noqa: TRY301  (handled like the others below)
            return cls(
                sequence,
                _untagged(document["watermark"]),
                _untagged(document["last_key"]),
                frozenset(map(_untagged, keys)),
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
