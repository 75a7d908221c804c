"""From readings to measurements that can train; what cannot is set aside with its reason."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache, partial
from typing import Literal

from agent.assays import endpoints, qualifiers, units
from agent.assays.endpoints import EndpointIndex, Resolved
from agent.assays.repeats import Repeats
from agent.assays.structures import identify
from agent.assays.units import Joint
from agent.errors import Refused
from agent.records import (
    Blank,
    Compound,
    InvalidStructure,
    Measurement,
    Qualifier,
    Reading,
    SetAside,
    Structure,
)
from agent.wire.documents import Endpoint

Kind = Literal["regression", "classification"]
Progress = Callable[[int], None]
Found = Sequence[Compound | InvalidStructure]
Identify = Callable[[Sequence[tuple[str, Structure]]], Callable[[], Found]]
"""Begins to find out what structures are, and returns what waits for the answers, in order."""
Item = Reading | SetAside | Blank
Compounds = Mapping[tuple[str, Structure], Compound | InvalidStructure]

_PROGRESS_EVERY = 500
_BATCH_ITEMS = 4_000
_BATCH_CHARS = 16 << 20  # molblocks may be large
_KNOWN_DAYS = 4_096
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
        emptied: Blanks that bear a measurement number, which withdraws an earlier measurement;
            they are counted in `blank`.
    """

    measurements: list[Measurement] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    read: int = 0
    blank: int = 0
    kinds: dict[str, Kind] = field(default_factory=dict)
    emptied: list[SetAside] = field(default_factory=list)


def curate(
    items: Iterable[Item],
    index: EndpointIndex,
    on_progress: Progress | None = None,
    begin_identifying: Identify | None = None,
    joints: Sequence[Joint] = (),
) -> Curated:
    """Curates everything that a reader yields; no item is lost, whatever it holds.

    Args:
        items: What `stores.readers.read` yields.
        index: The endpoints.
        on_progress: Called with the number of items read so far, every few hundred.
        begin_identifying: What the structures are; `Identifier.begin` keeps its answers.
        joints: Conversions that the store's profile declares.

    Raises:
        Refused: Only what `items` itself raises: the file as a whole cannot be used.
    """
    whole = Curated()
    for batch in curate_in_batches(items, index, on_progress, begin_identifying, joints):
        whole.measurements += batch.measurements
        whole.set_aside += batch.set_aside
        whole.emptied += batch.emptied
        whole.read += batch.read
        whole.blank += batch.blank
        whole.kinds |= batch.kinds
    return whole


def curate_in_batches(
    items: Iterable[Item],
    index: EndpointIndex,
    on_progress: Progress | None = None,
    begin_identifying: Identify | None = None,
    joints: Sequence[Joint] = (),
) -> Iterator[Curated]:
    """Does what `curate` does, and holds no more than a few thousand items at a time.

    Yields:
        The account of each batch, in the file's order.

    Raises:
        Refused: As `curate`.
    """
    repeats, first = Repeats(), 0
    begin = begin_identifying or _identify_each
    # While the structures of one batch are worked out, on other cores, the next one is read.
    waiting: Callable[[], Curated] | None = None
    for batch in _batches(items, index):
        resolved = [_resolved(item, index, repeats) for item in batch]
        compounds = _compounds(batch, resolved, begin)
        if waiting is not None:
            yield waiting()
        waiting = partial(_booked, batch, resolved, compounds, joints, first, on_progress)
        first += len(batch)
    if waiting is not None:
        yield waiting()


def _booked(
    batch: Sequence[Item],
    resolved: Sequence[Resolved | Refused | None],
    compounds: Callable[[], Compounds],
    joints: Sequence[Joint],
    first: int,
    on_progress: Progress | None,
) -> Curated:
    result, known = Curated(read=len(batch)), compounds()
    for place, (item, found) in enumerate(zip(batch, resolved, strict=True), start=first):
        if isinstance(item, Reading):
            _take(item, found, known, joints, place, result)
        else:
            _book_other(item, place, result)
        if on_progress is not None and (place + 1) % _PROGRESS_EVERY == 0:
            on_progress(place + 1)
    return result


def _batches(items: Iterable[Item], index: EndpointIndex) -> Iterator[list[Item]]:
    batch: list[Item] = []
    chars = 0
    for item in items:
        if _needless(item, index):
            continue
        batch.append(item)
        chars += len(item.structure) if isinstance(item, Reading) else 0
        if len(batch) >= _BATCH_ITEMS or chars >= _BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _resolved(item: Item, index: EndpointIndex, repeats: Repeats) -> Resolved | Refused | None:
    """Finds a reading's endpoint, or why it has none; `None` for what is no reading."""
    if not isinstance(item, Reading):
        return None
    try:
        repeats.refuse_repeated(item)
        _refuse_retracted(item)
        return index.resolve(item) or _unmapped(item, index)
    except Refused as refused:
        return refused


def _refuse_retracted(reading: Reading) -> None:
    if reading.retracted:
        raise Refused("retracted", "The store marks it as retracted.")


def _compounds(
    batch: Sequence[Item], resolved: Sequence[Resolved | Refused | None], begin: Identify
) -> Callable[[], Compounds]:
    """Begins to identify the structures of a batch, those that are needed, each once."""
    wanted = {
        (item.structure, item.structure_format): None
        for item, found in zip(batch, resolved, strict=True)
        if isinstance(item, Reading) and isinstance(found, Resolved)
    }
    answers = begin(list(wanted))
    return lambda: dict(zip(wanted, answers(), strict=True))


def _identify_each(wanted: Sequence[tuple[str, Structure]]) -> Callable[[], Found]:
    return lambda: [identify(*one) for one in wanted]


def _take(
    reading: Reading,
    found: Resolved | Refused | None,
    compounds: Compounds,
    joints: Sequence[Joint],
    place: int,
    result: Curated,
) -> None:
    try:
        if not isinstance(found, Resolved):
            raise found or Refused("unmapped_assay", "Its endpoint was not resolved.")
        what = compounds[reading.structure, reading.structure_format]
        result.measurements.append(_measurement(reading, found, what, joints, place))
        result.kinds[found.task] = found.endpoint.kind
    except Refused as refused:
        # A row that only repeats another one corrects nothing.
        number = "" if refused.code == "duplicate_row" else reading.measurement_id
        why = (refused.code, refused.reason, reading.compound_id, number, place)
        result.set_aside.append(SetAside(reading.place, *why))


def _book_other(item: SetAside | Blank, place: int, result: Curated) -> None:
    if isinstance(item, SetAside):
        result.set_aside.append(replace(item, item=place))
        return
    result.blank += 1
    if item.measurement_id:
        why = ("emptied", "Its value was emptied.", "", item.measurement_id, place)
        result.emptied.append(SetAside(item.place, *why))


def _needless(item: Item, index: EndpointIndex) -> bool:
    """Tells whether an item was computed from others for an endpoint that nobody has."""
    if not isinstance(item, Reading) or not item.derived:
        return False
    try:
        return index.resolve(item) is None
    except Refused:
        return False


def _unmapped(reading: Reading, index: EndpointIndex) -> Refused:
    name = reading.endpoint or reading.assay.label()
    known = "" if reading.endpoint else index.why_unshared(reading.assay)
    reason = known or "map it in the profile or declare it private."
    return Refused("unmapped_assay", f"No endpoint is known for {name[:200]!r}; {reason}")


def _measurement(
    reading: Reading,
    resolved: Resolved,
    found: Compound | InvalidStructure,
    joints: Sequence[Joint],
    place: int,
) -> Measurement:
    endpoint = resolved.endpoint
    if endpoint.kind == "classification":
        label = qualifiers.classify(reading.qualifier, reading.value, reading.unit, endpoint)
        return _assembled(reading, resolved, _valid(found), ("=", label, "=", label), place)
    below, number = qualifiers.split(reading.qualifier, reading.value)
    reversed_unit = units.flips(reading.unit)
    compound = _valid(found)
    native = units.to_canonical(number, reading.unit, endpoint, compound.weight_g_mol, joints)
    _check_range(native, endpoint)
    value = endpoints.transform(native, endpoint)
    modelled = below
    if below != "=":
        # pIC50 > 8 means IC50 < 10 nM, which -log10 turns round once more.
        below = qualifiers.flipped(below) if reversed_unit else below
        # The canonical unit may itself be a negative logarithm; `native` is then on that scale.
        below = qualifiers.flipped(below) if units.flips(endpoint.unit) else below
        modelled = qualifiers.flipped(below) if endpoints.flips(endpoint) else below
    return _assembled(reading, resolved, compound, (modelled, value, below, native), place)


def _valid(found: Compound | InvalidStructure) -> Compound:
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
    numbers: tuple[Qualifier, float, Qualifier, float],
    place: int,
) -> Measurement:
    qualifier, value, native_qualifier, native = numbers
    return Measurement(
        compound,
        reading.compound_id,
        resolved.task,
        qualifier,
        value,
        native,
        reading.assay,
        iso_date(reading.date),
        reading.measurement_id,
        reading.place,
        reading.unit,
        native_qualifier,
        place,
    )


@lru_cache(maxsize=_KNOWN_DAYS)
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
