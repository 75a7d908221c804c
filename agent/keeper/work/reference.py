"""Writing what predict may show of a snapshot's compounds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agent.assays.endpoints import EndpointIndex, flips, invert
from agent.assays.identity_cache import origin
from agent.assays.lookup import counted
from agent.assays.reference import Contents, Fingerprints, write_reference
from agent.assays.snapshot import Snapshot
from agent.errors import Refused
from agent.features.rows import Features
from agent.keeper.orders import REFERENCE, ReferenceOrder, Report, Result
from agent.keeper.work.snapshot import load_features
from agent.wire.documents import Endpoint

_AT_ONCE = 1_000_000  # counts
_DIGITS = 5  # what float32 carries of a value that went through a logarithm


def make_reference(order: ReferenceOrder, folder: Path, report: Report) -> Result:
    """Writes the reference of a frozen snapshot into the job's folder.

    Raises:
        Refused: `damaged_snapshot`, or a code of `write_reference`.
    """
    snapshot, features = Snapshot.load(Path(order.folder)), load_features(Path(order.folder))
    if len(features) != len(snapshot.compounds):
        raise Refused("damaged_snapshot", "Its features are those of other compounds.")
    contents = _contents(order, snapshot, features)
    count = len(snapshot.compounds)
    report("writing the reference", 0, count)
    for done in write_reference(folder / REFERENCE, contents, order.share, processes=0):
        report("writing the reference", done, count)
    return Result(compounds=count)


def _contents(order: ReferenceOrder, snapshot: Snapshot, features: Features) -> Contents:
    index = EndpointIndex(order.catalogue, order.private)
    known = [place for place, task in enumerate(snapshot.tasks) if task in index.tasks]
    endpoints = [index.endpoint(snapshot.tasks[place]) for place in known]
    column = np.full(len(snapshot.tasks), -1, np.int64)
    column[known] = np.arange(len(known))
    cols = column[snapshot.cols]
    kept = np.flatnonzero(cols >= 0)  # the catalogue may have dropped an endpoint since
    signs = np.array([-1 if flips(endpoint) else 1 for endpoint in endpoints] or [1], np.int8)
    return Contents(
        keys=snapshot.compounds,
        smiles=snapshot.smiles,
        endpoints=[
            (snapshot.tasks[place], endpoint.unit)
            for place, endpoint in zip(known, endpoints, strict=True)
        ],
        rows=snapshot.rows[kept],
        cols=cols[kept],
        values=_native(snapshot.values[kept], cols[kept], endpoints),
        qualifiers=snapshot.qualifiers[kept] * signs[cols[kept]],
        counts=snapshot.counts[kept],
        dates=snapshot.dates[kept],
        fingerprints=_fingerprints(features),
        about={
            "features": order.features.model_dump_json(),
            "identity": origin(),
            "snapshot": order.snapshot,
        },
    )


def _native(values: np.ndarray, cols: np.ndarray, endpoints: Sequence[Endpoint]) -> np.ndarray:
    """Takes medians from the modelled scale back to each endpoint's unit, float64 (m,)."""
    native = np.empty(len(values), np.float64)
    for place, (value, col) in enumerate(zip(values.tolist(), cols.tolist(), strict=True)):
        native[place] = float(f"{invert(value, endpoints[col]):.{_DIGITS}g}")
    return native


def _fingerprints(features: Features) -> Fingerprints:
    counts = np.empty(len(features.values), np.uint8)
    for start in range(0, len(counts), _AT_ONCE):  # what is mapped into memory stays there
        part = slice(start, start + _AT_ONCE)
        counts[part] = counted(features.indices[part], features.values[part])[1]
    return Fingerprints(features.indptr, features.indices, counts)
