"""Rows that say the same twice: told apart from replicates, corrections and retractions."""

from agent.errors import Refused
from agent.records import Place, Reading

_PLACE_BITS = 64
_SHEET_BITS = 16
_64_BITS = (1 << 64) - 1
_PLACE = Reading._fields.index("place")


class Repeats:
    """Remembers what a file said so far, in some 150 bytes a row: files have a million of them.

    By two hashes of 64 bits under this process's secret key: two of a million rows share both by
    chance once in 10^26 files.

    A row without a measurement number repeats another one if everything in it is the same. A row
    with a number repeats only the last row with that number: 5, then 6, then 5 again is a
    correction that was taken back.
    """

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._sheets: dict[str, int] = {}

    def refuse_repeated(self, reading: Reading) -> None:
        """Takes note of a reading.

        Raises:
            Refused: `duplicate_row`.
        """
        said = (reading[:_PLACE], reading[_PLACE + 1 :])
        if reading.measurement_id:
            key, content = hash(reading.measurement_id), hash(said)
        else:  # the key alone would be 64 bits of what decides
            key, content = hash(said), hash(repr(said))
        known = self._known.get(key)
        content &= _64_BITS
        if known is not None and known >> _PLACE_BITS == content:
            raise Refused("duplicate_row", f"Everything in it is the same as in {self._at(known)}.")
        self._known[key] = content << _PLACE_BITS | self._packed(reading.place)

    def _packed(self, place: Place) -> int:
        return place.row << _SHEET_BITS | self._sheets.setdefault(place.sheet, len(self._sheets))

    def _at(self, known: int) -> str:
        packed = known & (1 << _PLACE_BITS) - 1
        sheet = list(self._sheets)[packed & (1 << _SHEET_BITS) - 1]
        return f"row {packed >> _SHEET_BITS}" + (f" of sheet {sheet}" if sheet else "")
