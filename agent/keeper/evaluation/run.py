"""The whole of an evaluation, in the worker's process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import polars as pl

from agent.assays.identity import Identifier
from agent.clock import monotonic_s
from agent.errors import Refused
from agent.features.cache import FeatureCache
from agent.features.views import default_views
from agent.keeper.evaluation import split
from agent.keeper.evaluation.judge import Means, Report, Table, judge
from agent.keeper.evaluation.order import EvaluateOrder, Evaluation, Judgement, SourceFile
from agent.keeper.evaluation.read import Measured, Reader, cores
from agent.learning.learner import Learner
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.learning.train import Settings

TIME_SHARE = 0.18
"""Of the compounds, the newest: what is judged on where there is no test file."""
SCAFFOLD_FOLDS = 5
_CHUNK = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """All that was read.

    Attributes:
        own: The silo itself.
        test: What to judge on; None splits the own measurements.
        others: The other silos, their files joined.
        files: What each file came to.
    """

    own: Table
    test: pl.DataFrame | None
    others: tuple[Table, ...]
    files: tuple[Measured, ...]


def evaluate(order: EvaluateOrder, folder: Path, report: Report) -> Evaluation:
    """Reads, trains, judges.

    Args:
        order: What to do.
        folder: For what is needed meanwhile.
        report: Told of every step.

    Raises:
        Refused: A file cannot be used, or there is too little to train on.
        Stop: A profile cannot be used, the device is missing, or LightGBM.
    """
    started_s = monotonic_s()
    tables = _read(order, folder, report)
    read_s = monotonic_s() - started_s
    means = _means(order, bool(tables.others), report)
    _featurize(tables, means.cache, report)
    featurized_s = monotonic_s() - started_s - read_s
    done = tuple(_judgements(tables, means))
    if not done:
        raise Refused(
            "no_split",
            "Nothing can be held back: no dates, no `order` in the profile and one scaffold only. "
            "Give --test.",
        )
    return Evaluation(
        judgements=done,
        files=tuple(one.account for one in tables.files),
        notes=() if tables.test is not None else _notes(done),
        seconds={
            "reading": round(read_s, 1),
            "featurizing": round(featurized_s, 1),
            "all": round(monotonic_s() - started_s, 1),
        },
    )


def _read(order: EvaluateOrder, folder: Path, report: Report) -> Tables:
    with Identifier(Path(order.cache) / "identities.sqlite3", order.threads or cores()) as known:
        reader = Reader(folder, known, order.catalogue)
        told = partial(_told, report)
        own = reader.measured(order.data, "", told)
        later = SourceFile(path=order.test, profile=order.data.profile)
        test = reader.measured(later, "", told) if order.test else None
        silos = {
            silo.name: [reader.measured(file, silo.name, told) for file in silo.files]
            for silo in order.silos
        }
    others = tuple(_joined(name, files) for name, files in silos.items())
    files = [own, *([test] if test else []), *(one for some in silos.values() for one in some)]
    return Tables(("own", own.frame, own.tasks), test.frame if test else None, others, tuple(files))


def _told(report: Report, done: int) -> None:
    report("reading files", done, 0)


def _joined(name: str, files: Sequence[Measured]) -> Table:
    tasks = dict.fromkeys(task for file in files for task in file.tasks)
    return name, pl.concat([file.frame for file in files]), tuple(tasks)


def _means(order: EvaluateOrder, together: bool, report: Report) -> Means:
    settings = Settings(epochs=1, seed=order.seed, threads=1, device=order.device)
    spec = default_views()
    local = LocalRecipe(views=spec.alone)
    recipe = FederatedRecipe(views=spec.together) if together else None
    learner = Learner(spec.plain, local, recipe, settings, order.threads or cores(), report)
    cache = FeatureCache(Path(order.cache) / "features.sqlite3", spec)
    return Means(learner, cache, spec, order.baseline, report)


def _featurize(tables: Tables, cache: FeatureCache, report: Report) -> None:
    """Fills the cache for all compounds; each silo takes its own from it later."""
    frames = [file.frame.select("compound_key", "smiles") for file in tables.files]
    found = pl.concat(frames).group_by("compound_key").agg(pl.col("smiles").min())
    for start in range(0, len(found), _CHUNK):
        report("featurizing compounds", start, len(found))
        chunk = found.slice(start, _CHUNK)
        cache.get_or_compute(chunk["compound_key"].to_list(), chunk["smiles"].to_list())


def _judgements(tables: Tables, means: Means) -> Iterator[Judgement]:
    name, frame, tasks = tables.own
    if tables.test is not None:
        yield judge(tables.own, tables.test, tables.others, means, "test")
        return
    newest = split.newest_compounds(frame, TIME_SHARE)
    scaffolds = split.scaffold_compounds(frame, SCAFFOLD_FOLDS)
    splits: tuple[tuple[split.Name, frozenset[str]], ...] = (
        ("time", newest),
        ("scaffold", scaffolds),
    )
    for kind, held in splits:
        if 0 < len(held) < frame["compound_key"].n_unique():
            test = frame.filter(pl.col("compound_key").is_in(list(held)))
            yield judge((name, frame, tasks), test, tables.others, means, kind)


def _notes(done: Sequence[Judgement]) -> tuple[str, ...]:
    if done[0].split == "time":
        return ()
    return (
        "The data has no dates and its profile no `order`, so only scaffolds could be held back; "
        "that flatters a model, as tomorrow's compounds differ more.",
    )
