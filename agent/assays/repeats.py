"""Rows that say the same twice: told apart from replicates, corrections and retractions."""

import hashlib

from agent.errors import Refused
from agent.records import Place, Reading

_DIGEST_BYTES = 12  # two of a million rows share one by chance once in 10^17 files
_PLACE_BITS = 64
_SHEET_BITS = 16
_ASSAY, _PLACE = Reading._fields.index("assay"), Reading._fields.index("place")


class Repeats:
    """Remembers what a file said so far, in some 150 bytes a row: files have a million of them.

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
        content = _digest(_content(reading))
        key = _digest(f"id {reading.measurement_id}") if reading.measurement_id else content
        known = self._known.get(key)
        if known is not None and known >> _PLACE_BITS == content:
            raise Refused("duplicate_row", f"Everything in it is the same as in {self._at(known)}.")
        self._known[key] = content << _PLACE_BITS | self._packed(reading.place)

    def _packed(self, place: Place) -> int:
        return place.row << _SHEET_BITS | self._sheets.setdefault(place.sheet, len(self._sheets))

    def _at(self, known: int) -> str:
        packed = known & (1 << _PLACE_BITS) - 1
        sheet = list(self._sheets)[packed & (1 << _SHEET_BITS) - 1]
        return f"row {packed >> _SHEET_BITS}" + (f" of sheet {sheet}" if sheet else "")


def _content(reading: Reading) -> str:
    assay = reading.assay
    said = (assay.test, assay.test_type, assay.subject, assay.readout, assay.condition)
    return repr((said, reading[:_ASSAY], reading[_ASSAY + 1 : _PLACE], reading[_PLACE + 1 :]))


def _digest(text: str) -> int:
    content = text.encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest(), "big")
