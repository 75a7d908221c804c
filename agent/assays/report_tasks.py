"""What each task has: counts, censoring, noise, quorum and a histogram of round bins."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from agent.assays.endpoints import PRIVATE, EndpointIndex, flips, invert
from agent.wire.documents import Endpoint

Task = dict[str, Any]

# The quorum of MELLODDY, which the consortium took over: Heyndrickx et al., J. Chem. Inf. Model.
# 2024, 64, 2331.
CLASS_QUORUM = 25
REGRESSION_QUORUM = 50
UNCENSORED_QUORUM = 25

_BINS = 32
_MIN_PLOTTED = 10
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_PILE_ROWS, _PILE_SHARE, _PILE_DISTINCT = 10, 0.02, 20
_EXAMPLES = 5
_SCALES = {"neg_log10_molar": "−log10 M", "identity": ""}
_UNDECIDED = 0.5


def task_reports(
    frame: pl.DataFrame, index: EndpointIndex, min_labels: int, *, detailed: bool
) -> list[Task]:
    """Describes every task that has data, the fullest first.

    Args:
        frame: Columns of `parts.SCHEMA`, and `store`.
        index: The endpoints.
        min_labels: Fewest compounds that are trained on.
        detailed: Also show values and a few compounds.
    """
    known = set(index.tasks)
    reports = []
    for (name,), rows in frame.group_by("task", maintain_order=True):
        task = str(name)
        if task in known:
            reports.append(_task(task, index.endpoint(task), rows, min_labels, detailed=detailed))
    return sorted(reports, key=lambda entry: (-entry["compounds"], entry["task"]))


def _task(
    task: str, endpoint: Endpoint, rows: pl.DataFrame, min_labels: int, *, detailed: bool
) -> Task:
    compounds = _per_compound(rows)
    regression = endpoint.kind == "regression"
    plotted = detailed or len(compounds) >= _MIN_PLOTTED  # the bins of a few would tell each value
    report: Task = {
        "task": task,
        "name": endpoint.name,
        "group": endpoint.group,
        "kind": endpoint.kind,
        "unit": endpoint.unit,
        "shared": not task.startswith(PRIVATE),
        "measurements": len(rows),
        "compounds": len(compounds),
        "stores": {str(k): int(n) for k, n in rows.group_by("store").len().sort("store").rows()},
        "units": _units(rows),
        "dates": _dates(rows),
        "quorum": quorum(compounds, endpoint.kind, min_labels),
        "noise": _noise(rows, endpoint) if regression else None,
        "censored": _censored(rows, endpoint) if regression else None,
        "histogram": _histogram(rows, endpoint) if regression and plotted else None,
        "classes": None if regression else _classes(compounds),
        "pileups": _pileups(rows, detailed=detailed) if regression else [],
    }
    return report | ({"details": _details(rows, endpoint)} if detailed else {})


def _per_compound(rows: pl.DataFrame) -> pl.DataFrame:
    exact = pl.col("qualifier") == "="
    return rows.group_by("compound_key").agg(
        pl.col("value").median(), (exact.mean() >= _UNDECIDED).alias("uncensored")
    )


def quorum(compounds: pl.DataFrame, kind: str, min_labels: int) -> Task:
    """Tells whether a task has enough compounds to be trained, and else what is missing.

    Args:
        compounds: `value` and `uncensored` of each compound.
        kind: `regression` or `classification`.
        min_labels: Fewest compounds, whatever the kind.
    """
    if kind == "classification":
        classes = _classes(compounds)
        wanted = {n: CLASS_QUORUM - classes[n] for n in ("positive", "negative")}
        have = classes["positive"] + classes["negative"]
    else:
        have, uncensored = len(compounds), int(compounds["uncensored"].sum())
        wanted = {
            "compounds": REGRESSION_QUORUM - have,
            "uncensored": UNCENSORED_QUORUM - uncensored,
        }
    missing = [f"{count} more {what}" for what, count in wanted.items() if count > 0]
    if not missing and have < min_labels:
        missing = [f"{min_labels - have} more compounds (training.min_labels)"]
    return {"met": not missing, "missing": ", ".join(missing)}


def _classes(compounds: pl.DataFrame) -> dict[str, int]:
    value = compounds["value"]
    return {
        "positive": int((value > _UNDECIDED).sum()),
        "negative": int((value < _UNDECIDED).sum()),
        "undecided": int((value == _UNDECIDED).sum()),
    }


def _units(rows: pl.DataFrame) -> dict[str, int]:
    # Parts of older editions do not say in which unit a value was written.
    if "unit" not in rows.columns:
        return {}
    found = rows.group_by("unit").len().sort("len", descending=True)
    return {str(unit): int(count) for unit, count in found.rows()}


def _dates(rows: pl.DataFrame) -> Task:
    dated = rows.filter(pl.col("date") != "")["date"]
    first, last = (dated.min(), dated.max()) if len(dated) else ("", "")
    return {"first": first, "last": last, "undated": len(rows) - len(dated)}


def _noise(rows: pl.DataFrame, endpoint: Endpoint) -> Task:
    """Describes replicates: the median over compounds of their SD on the modelled scale."""
    exact = rows.filter(pl.col("qualifier") == "=").group_by("compound_key")
    spread = exact.agg(pl.col("value").std().alias("sd")).drop_nulls("sd")["sd"]
    limit = getattr(endpoint, "max_replicate_sd", None)
    return {
        "replicated": len(spread),
        "median_sd": spread.median() if len(spread) else None,
        "limit": limit,
        "over_limit": None if limit is None else int((spread > limit).sum()),
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


def _pileups(rows: pl.DataFrame, *, detailed: bool) -> list[Task]:
    """Finds many equal numbers at an end of a store's values: a limit without its qualifier."""
    found = []
    exact = rows.filter(pl.col("qualifier") == "=")
    for (store,), own in exact.group_by("store", maintain_order=True):
        values = own["native"]
        if values.n_unique() < _PILE_DISTINCT:
            continue
        for side, end in (("lowest", values.min()), ("highest", values.max())):
            count = int((values == end).sum())
            if count >= max(_PILE_ROWS, _PILE_SHARE * len(values)):
                pile = {"store": store, "side": side, "count": count, "of": len(values)}
                found.append(pile | ({"value": end} if detailed else {}))
    return found


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
