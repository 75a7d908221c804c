"""What each task has: counts, censoring, limits, noise, quorum and a histogram of round bins."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from agent.assays.censoring import limits
from agent.assays.endpoints import PRIVATE, EndpointIndex, flips, invert
from agent.assays.merge import decided, labels
from agent.assays.quorum import Quorum, pooled_sd, standing
from agent.wire.documents import Endpoint

Task = dict[str, Any]

_BINS = 32
_MIN_PLOTTED = 10
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_EXAMPLES = 5
_SCALES = {"neg_log10_molar": "−log10 M", "identity": ""}
_UNDECIDED = 0.5


@dataclass(frozen=True, slots=True)
class Needs:
    """What a task needs before it is trained.

    Attributes:
        quorum: As for a snapshot.
        min_labels: Fewest labelled compounds, whatever the quorum.
    """

    quorum: Quorum = field(default_factory=Quorum)
    min_labels: int = 0


def task_reports(
    frame: pl.DataFrame, index: EndpointIndex, needs: Needs, *, detailed: bool
) -> list[Task]:
    """Describes every task that has data, the fullest first.

    Args:
        frame: The measurements that count now: columns of `parts.SCHEMA`, and `store`.
        index: The endpoints.
        needs: What a task needs.
        detailed: Also show values and a few compounds.
    """
    known = set(index.tasks)
    reports = []
    for (name,), rows in frame.group_by("task", maintain_order=True):
        task = str(name)
        if task in known:
            reports.append(_task(task, index.endpoint(task), rows, needs, detailed=detailed))
    return sorted(reports, key=lambda entry: (-entry["compounds"], entry["task"]))


def _task(
    task: str, endpoint: Endpoint, rows: pl.DataFrame, needs: Needs, *, detailed: bool
) -> Task:
    joined = labels(rows)  # as a snapshot joins them
    kept = decided(joined)
    regression = endpoint.kind == "regression"
    plotted = detailed or len(joined) >= _MIN_PLOTTED  # the bins of a few would tell each value
    report: Task = {
        "task": task,
        "name": endpoint.name,
        "group": endpoint.group,
        "kind": endpoint.kind,
        "unit": endpoint.unit,
        "shared": not task.startswith(PRIVATE),
        "measurements": len(rows),
        "compounds": len(joined),
        "conflicts": len(joined) - len(kept),
        "stores": {str(k): int(n) for k, n in rows.group_by("store").len().sort("store").rows()},
        "units": _units(rows) if regression else {},  # a class has none, whatever its column holds
        "dates": _dates(rows),
        "quorum": _quorum(kept, endpoint.kind, needs),
        "noise": _noise(kept, endpoint) if regression else None,
        "censored": _censored(rows, endpoint) if regression else None,
        "histogram": _histogram(rows, endpoint) if regression and plotted else None,
        "classes": None if regression else _classes(joined),
        "limits": _limits(task, rows, endpoint, detailed=detailed) if regression else [],
    }
    return report | ({"details": _details(rows, endpoint)} if detailed else {})


def _quorum(kept: pl.DataFrame, kind: str, needs: Needs) -> Task:
    found = standing(kind, kept["value"].to_numpy(), kept["sign"].to_numpy(), needs.quorum)
    lacks = found.lacks
    if found.met and found.n < needs.min_labels:
        lacks = f"{needs.min_labels - found.n} more labelled compounds (training.min_labels)"
    return {"met": not lacks, "missing": lacks}


def _classes(compounds: pl.DataFrame) -> dict[str, int]:
    value = compounds["value"]
    return {
        "positive": int((value > _UNDECIDED).sum()),
        "negative": int((value < _UNDECIDED).sum()),
        "undecided": int((value == _UNDECIDED).sum()),
    }


def _units(rows: pl.DataFrame) -> dict[str, int]:
    """Counts the units as they were written; parts of version 0.1.0 do not say them."""
    found = rows.group_by("unit").len().sort(["len", "unit"], descending=[True, False])
    return {str(unit): int(count) for unit, count in found.rows()}


def _dates(rows: pl.DataFrame) -> Task:
    dated = rows.filter(pl.col("date") != "")["date"]
    first, last = (dated.min(), dated.max()) if len(dated) else ("", "")
    return {"first": first, "last": last, "undated": len(rows) - len(dated)}


def _noise(kept: pl.DataFrame, endpoint: Endpoint) -> Task:
    """Describes replicates on the modelled scale, of compounds without a censored label."""
    repeated = kept.filter((pl.col("sign") == 0) & (pl.col("count") > 1))
    spread, limit = repeated["spread"], endpoint.max_replicate_sd
    pooled = pooled_sd(spread.to_numpy(), repeated["count"].to_numpy())
    return {
        "replicated": len(repeated),
        "median_sd": spread.median() if len(repeated) else None,
        "pooled_sd": pooled,
        "limit": limit,
        "over_limit": None if limit is None else int((spread > limit).sum()),
        "noisy": pooled is not None and limit is not None and pooled > limit,
    }


def _censored(rows: pl.DataFrame, endpoint: Endpoint) -> dict[str, int]:
    """Counts censored measurements as they were written, not as the scale turns them."""
    below, above = (int((rows["qualifier"] == sign).sum()) for sign in "<>")
    if flips(endpoint):
        below, above = above, below
    return {"below": below, "above": above}


def _histogram(rows: pl.DataFrame, endpoint: Endpoint) -> Task:
    """Bins values on the modelled scale; edges are round numbers, so that no value shows."""
    values = rows["value"]
    edges = _edges(float(str(values.min())), float(str(values.max())))
    exact = rows["qualifier"] == "="
    return {
        "scale": _SCALES.get(endpoint.transform, endpoint.unit) or endpoint.unit,
        "edges": edges,
        "labels": [_label(edge, endpoint) for edge in edges],
        "exact": _binned(values.filter(exact), edges),
        "censored": _binned(values.filter(~exact), edges),
    }


def _edges(low: float, high: float) -> list[float]:
    rough = max((high - low) / _BINS, 1e-3 * max(abs(low), abs(high), 1.0))
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in _STEPS if power * factor >= rough)
    first, last = math.floor(low / step), math.floor(high / step) + 1
    return [round(number * step, 9) for number in range(first, last + 1)]


def _binned(values: pl.Series, edges: Sequence[float]) -> list[int]:
    step = edges[1] - edges[0]
    counts = [0] * (len(edges) - 1)
    places = ((values - edges[0]) / step).floor().clip(0, len(counts) - 1).cast(pl.Int64)
    for place, count in places.value_counts().rows():
        counts[int(place)] = int(count)
    return counts


def _label(edge: float, endpoint: Endpoint) -> str:
    if endpoint.transform in _SCALES:
        return f"{edge:g}".replace("-", "−")
    try:
        native = float(f"{invert(edge, endpoint):.2g}")
        return f"{native:,.10g}" if 1e-4 <= abs(native) < 1e6 or not native else f"{native:.1e}"
    except OverflowError:
        return "∞"


def _limits(task: str, rows: pl.DataFrame, endpoint: Endpoint, *, detailed: bool) -> list[Task]:
    """Lists where each store's values pile up, and whether they count as censored.

    Returns:
        For each store, side and decision: `numbers` at which they lie, `count` of measurements,
        `of` all; and the `values` where `detailed`.
    """
    turn = {"<": ">", ">": "<"} if flips(endpoint) else {}
    # Parts of version 0.1.0 keep the qualifier only as the scale turned it.
    old = pl.col("qualifier").replace(turn)
    written = pl.when(pl.col("native_qualifier") == "").then(old).otherwise("native_qualifier")
    found: dict[tuple[str, str, bool], Task] = {}
    signed = rows.select("store", "native", written.alias("sign"))
    for (store,), own in signed.group_by("store", maintain_order=True):
        for limit in limits(task, own["native"].to_numpy(), own["sign"].to_numpy()):
            key = (str(store), limit.side, limit.decided)
            entry = found.setdefault(key, {"numbers": 0, "count": 0, "of": len(own), "values": []})
            entry["numbers"] += 1
            entry["count"] += limit.count
            entry["values"].append(limit.value)
    shown = ("numbers", "count", "of", *(("values",) if detailed else ()))
    return [
        {"store": store, "side": side, "decided": given, **{name: entry[name] for name in shown}}
        for (store, side, given), entry in found.items()
    ]


def _details(rows: pl.DataFrame, endpoint: Endpoint) -> Task:
    native = rows["native"]
    columns = ["compound_id", "smiles", "qualifier", "native"]
    shown = rows.unique("compound_key", keep="first", maintain_order=True).head(_EXAMPLES)
    examples = shown.select(columns).to_dicts()
    turn = {"<": ">", ">": "<"} if flips(endpoint) else {}
    for example in examples:
        example["qualifier"] = turn.get(example["qualifier"], example["qualifier"])
    return {
        "min": native.min(),
        "median": native.median(),
        "max": native.max(),
        "examples": examples,
    }


def duplicates(frame: pl.DataFrame) -> list[Task]:
    """Counts what two stores share.

    Returns:
        For each pair: `compounds` in both, `measured` (compound and task in both), and how many
        of those agree to three digits (`equal`: the same number, probably copied).
    """
    median = frame.group_by("store", "compound_key", "task").agg(pl.col("value").median())
    stores = sorted(str(store) for store in median["store"].unique())
    found = []
    for at, first in enumerate(stores):
        for second in stores[at + 1 :]:
            one, two = (median.filter(pl.col("store") == store) for store in (first, second))
            compounds = one.select("compound_key").unique()
            common = compounds.join(two.select("compound_key").unique(), on="compound_key")
            both = one.join(two, on=["compound_key", "task"])
            equal = (both["value"] - both["value_right"]).abs() < 5e-4
            if len(common):
                counts = {
                    "compounds": len(common),
                    "measured": len(both),
                    "equal": int(equal.sum()),
                }
                found.append({"stores": [first, second], **counts})
    return found
