"""From readings to measurements that can train; what cannot is set aside with its reason."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, field, replace
from datetime import date
from typing import Literal

from agent.assays import endpoints, qualifiers, units
from agent.assays.endpoints import EndpointIndex, Resolved
from agent.assays.structures import identify
from agent.errors import Refused
from agent.records import (
    Blank,
    Compound,
    InvalidStructure,
    Measurement,
    Place,
    Qualifier,
    Reading,
    SetAside,
)
from agent.wire.documents import Endpoint

Kind = Literal["regression", "classification"]
Progress = Callable[[int], None]

_PROGRESS_EVERY = 500
_DATE = re.compile(r"^(?:(\d{4})([-./])(\d{1,2})\2(\d{1,2})|(\d{4})(\d\d)(\d\d))(?!\d)")


@dataclass(slots=True)
class Curated:
    """What became of a file: `read == len(measurements) + len(set_aside) + blank`, always.

    Attributes:
        measurements: What can train.
        set_aside: What cannot, with place and reason.
        read: How many measurements the file could hold.
        blank: How many of them hold nothing.
        kinds: Whether each task that occurs is a regression or a classification.
    """

    measurements: list[Measurement] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    read: int = 0
    blank: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)


def curate(
    items: Iterable[Reading | SetAside | Blank],
    index: EndpointIndex,
    on_progress: Progress | None = None,
) -> Curated:
    """Curates everything that a reader yields; no item is lost, whatever it holds.

    Args:
        items: What `stores.readers.read` yields.
        index: The endpoints.
        on_progress: Called with the number of items read so far, every few hundred.

    Raises:
        Refused: Only what `items` itself raises: the file as a whole cannot be used.
    """
    result = Curated()
    places: dict[bytes, Place] = {}
    for item in items:
        result.read += 1
        if isinstance(item, Blank):
            result.blank += 1
        elif isinstance(item, SetAside):
            result.set_aside.append(item)
        else:
            _take(item, index, places, result)
        if on_progress is not None and result.read % _PROGRESS_EVERY == 0:
            on_progress(result.read)
    return result


def _take(
    reading: Reading, index: EndpointIndex, places: dict[bytes, Place], result: Curated
) -> None:
    try:
        _refuse_repeated(reading, places)
        resolved = index.resolve(reading)
        if resolved is None:
            raise _unmapped(reading)
        result.measurements.append(_measurement(reading, resolved))
        result.kinds[resolved.task] = resolved.endpoint.kind
    except Refused as refused:
        result.set_aside.append(SetAside(reading.place, refused.code, refused.reason))


def _refuse_repeated(reading: Reading, places: dict[bytes, Place]) -> None:
    # A digest instead of the reading: a million rows must not be held twice.
    content = repr(astuple(replace(reading, place=Place(0)))).encode(errors="surrogatepass")
    first = places.setdefault(hashlib.blake2b(content, digest_size=16).digest(), reading.place)
    if first is not reading.place:
        where = f"row {first.row}" + (f" of sheet {first.sheet}" if first.sheet else "")
        raise Refused("duplicate_row", f"Everything in it is the same as in {where}.")


def _unmapped(reading: Reading) -> Refused:
    name = reading.endpoint or reading.assay.label()
    return Refused(
        "unmapped_assay",
        f"No endpoint is known for {name[:200]!r}; map it in the profile or declare it private.",
    )


def _measurement(reading: Reading, resolved: Resolved) -> Measurement:
    endpoint = resolved.endpoint
    if endpoint.kind == "classification":
        label = qualifiers.classify(reading.qualifier, reading.value, reading.unit, endpoint)
        compound = _compound(reading)
        return _assembled(reading, resolved, compound, ("=", label, label))
    written = qualifiers.split(reading.qualifier, reading.value)
    reversed_unit = units.flips(reading.unit)
    compound = _compound(reading)
    native = units.to_canonical(written[1], reading.unit, endpoint, compound.weight_g_mol)
    _check_range(native, endpoint)
    value = endpoints.transform(native, endpoint)
    # pIC50 > 8 means IC50 < 10 nM, which -log10 turns round once more.
    turned = reversed_unit != endpoints.flips(endpoint)
    qualifier = qualifiers.flipped(written[0]) if turned else written[0]
    return _assembled(reading, resolved, compound, (qualifier, value, native))


def _compound(reading: Reading) -> Compound:
    found = identify(reading.structure, reading.structure_format)
    if isinstance(found, InvalidStructure):
        raise Refused(f"structure_{found.step}", found.cause)
    return found


def _check_range(native: float, endpoint: Endpoint) -> None:
    if not endpoint.low <= native <= endpoint.high:
        raise Refused(
            "out_of_range",
            f"The value is outside {endpoint.low:g} to {endpoint.high:g} {endpoint.unit}, "
            f"which {endpoint.id} can plausibly have; check value and unit.",
        )


def _assembled(
    reading: Reading,
    resolved: Resolved,
    compound: Compound,
    numbers: tuple[Qualifier, float, float],
) -> Measurement:
    qualifier, value, native = numbers
    return Measurement(
        compound=compound,
        compound_id=reading.compound_id,
        task=resolved.task,
        qualifier=qualifier,
        value=value,
        native=native,
        assay=reading.assay,
        date=iso_date(reading.date),
        measurement_id=reading.measurement_id,
        place=reading.place,
    )


def iso_date(text: str) -> str:
    """Returns the day as `YYYY-MM-DD`, or an empty text where year, month and day are not clear.

    Only year-first dates are read: 03/04/2026 means two different days in two countries.
    """
    found = _DATE.match(text.strip())
    if not found:
        return ""
    try:
        parts = found.group(1, 3, 4) if found.group(1) else found.group(5, 6, 7)
        return date(*map(int, parts)).isoformat()
    except ValueError:
        return ""
