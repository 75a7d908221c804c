"""The scale of each assay: what a profile alone says, so that no catalogue is needed to judge.

Every assay of a profile becomes a task of its own. In a silo's own training the catalogue decides
and joins silos; a judgement needs nothing joined, and must hold for data that no catalogue knows.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from agent.assays.endpoints import PRIVATE, EndpointIndex
from agent.stores.meaning import plain_number
from agent.stores.profile import AssayColumn, AssayName, Profile
from agent.wire.documents import Catalogue, Endpoint

Transform = Literal["identity", "log10", "neg_log10_molar", "log10_plus_1"]

_LOG_UNIT = re.compile(r"^\s*-?log(?:10)?[\s(]+(.*?)\)?\s*$", re.IGNORECASE)
_ANY = 1e30  # what is plausible no profile says


@dataclass(frozen=True, slots=True)
class Scaled:
    """A profile as an evaluation reads it.

    Attributes:
        profile: Its assays name the tasks of `index`.
        index: Finds them.
        names: A task's readable name: the column's header, or the assay's name.
    """

    profile: Profile
    index: EndpointIndex
    names: dict[str, str] = field(default_factory=dict)


def scaled(profile: Profile, catalogue: Catalogue | None = None) -> Scaled:
    """Gives every assay of a profile its own task and scale.

    A zero under `below` is a plain zero where the scale is log10(y + 1), which has one: that is
    how such series are judged, and the limit is seldom published.

    Args:
        profile: As a person wrote it.
        catalogue: For a long table without `[[map]]`, whose assays the catalogue's rules name.
    """
    shared = catalogue or Catalogue(consortium="none", version=1, endpoints=())
    entries: tuple[AssayColumn | AssayName, ...] = profile.assay or profile.map
    if not entries:
        return Scaled(profile, EndpointIndex(shared))
    endpoints = [_endpoint(place, entry) for place, entry in enumerate(entries)]
    index = EndpointIndex(shared.model_copy(update={"endpoints": ()}), endpoints)
    named = {
        PRIVATE + endpoint.id: _name(entry)
        for endpoint, entry in zip(endpoints, entries, strict=True)
    }
    changed = tuple(
        _with_zeros(entry, endpoint) for endpoint, entry in zip(endpoints, entries, strict=True)
    )
    shape = "assay" if profile.assay else "map"
    return Scaled(profile.model_copy(update={shape: changed}), index, named)


def _name(entry: AssayColumn | AssayName) -> str:
    return entry.column if isinstance(entry, AssayColumn) else entry.assay


def _endpoint(place: int, entry: AssayColumn | AssayName) -> Endpoint:
    transform = _transform(entry)
    return Endpoint(
        id=f"assay{place}",
        name=_name(entry),
        group="P",
        kind="regression",
        unit=_unit(entry.unit, transform),
        transform=transform,
        low=-_ANY,
        high=_ANY,
    )


def _transform(entry: AssayColumn | AssayName) -> Transform:
    if entry.transform:
        return entry.transform
    written = not entry.unit.strip() or _LOG_UNIT.match(entry.unit)
    return "identity" if written else "log10_plus_1"


def _unit(unit: str, transform: Transform) -> str:
    if transform == "neg_log10_molar":
        return "uM"
    logarithm = _LOG_UNIT.match(unit)
    return logarithm[1] if logarithm and transform != "identity" else unit


def _with_zeros(entry: AssayColumn | AssayName, endpoint: Endpoint) -> AssayColumn | AssayName:
    below = entry.below
    if endpoint.transform == "log10_plus_1":
        below = tuple(word for word in below if plain_number(word) != 0.0)
    limit = entry.limit if below else None
    return entry.model_copy(
        update={"endpoint": PRIVATE + endpoint.id, "below": below, "limit": limit}
    )
