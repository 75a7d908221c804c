"""A job's answer as a file, part by part: CSV, SDF, Parquet or NDJSON."""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import polars as pl

from agent.records import InvalidStructure
from agent.serving.batch import answered
from agent.serving.batch.answered import Part
from agent.serving.batch.folder import Release, Table
from agent.serving.batch.measured import Finding
from agent.serving.batch.split import RECORD

Result = Literal["csv", "sdf", "parquet", "ndjson"]
ERROR, RELEASE, ROW = "onggi_error", "onggi_release", "row"
_NAMES = ("{}", "{}_lower", "{}_upper", "{}_inside")
_MEASURED = "{}_measured"
_COPIED_BYTES = 1 << 20
_NO_ATOMS = "\n     Onggi\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"


@dataclass(frozen=True, slots=True)
class Job:
    """What a job's answer is written from.

    Attributes:
        tasks: The columns of the endpoints that are wanted.
        measured: Whether what the site measured itself stands beside what was predicted.
    """

    folder: Path
    table: Table
    release: Release
    tasks: Sequence[int]
    measured: bool = False

    def names(self) -> list[str]:
        """Returns the names of our columns; the caller's own come first and keep theirs."""
        taken = set(self.table.header)
        ends = (*_NAMES, _MEASURED) if self.measured else _NAMES
        shown = [name.format(self.release.tasks[at].task) for at in self.tasks for name in ends]
        return [_free(name, taken) for name in (*shown, ERROR, RELEASE)]

    def columns(self, part: Part) -> list[pl.Series]:
        """Returns our columns of one part, in the order of `names`."""
        value, ends = answered.values(part, self.release), answered.ends(part, self.release)
        inside = answered.inside(part)
        found = []
        for at in self.tasks:
            numbers = (value[:, at], ends[0][:, at], ends[1][:, at], inside[:, at])
            *three, last = (answered.placed(part, column) for column in numbers)
            found += [*three, last.cast(pl.Boolean)]
            if self.measured:
                found.append(_measured_texts(answered.measured(part, at)))
        errors = pl.Series(part.errors, dtype=pl.String)
        release = pl.repeat(self.release.release, len(errors), eager=True)
        return [*found, errors, release]

    def frame(self, part: Part) -> pl.DataFrame:
        """Returns one part with the caller's columns and ours."""
        header = [*_told_apart(self.table.header), *self.names()]
        columns = [*answered.own_columns(part, self.table), *self.columns(part)]
        return pl.DataFrame(
            [column.alias(name) for name, column in zip(header, columns, strict=True)]
        )


def write(job: Job, kind: Result, parts: Iterable[Part], out: BinaryIO) -> None:
    """Writes a job's answer.

    Args:
        job: The job.
        kind: The format.
        parts: All of its parts, in order.
        out: Where to; it is written while the parts are read, but for Parquet, which has its
            table of contents at its end.
    """
    if kind == "parquet":
        _write_parquet(job, parts, out)
        return
    if kind == "csv":
        out.write(_csv_header([*job.table.header, *job.names()]))
    one = _WRITERS[kind]
    first = 1
    for part in parts:
        one(job, part, first, out)
        out.flush()
        first += len(part.errors)


def _csv_header(names: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(names)
    return text.getvalue().encode()


def _csv(job: Job, part: Part, _first: int, out: BinaryIO) -> None:
    # The caller's cells go back as they came, a leading "=" or "-" included: a structure or a name
    # may begin so, and it was the caller's to begin with. Ours are numbers, words and sentences.
    job.frame(part).write_csv(out, include_header=False)


def _write_parquet(job: Job, parts: Iterable[Part], out: BinaryIO) -> None:
    with tempfile.TemporaryDirectory(dir=job.folder, prefix=".parquet-") as temporary:
        written: list[Path] = []
        for part in parts:
            written.append(Path(temporary) / f"{len(written):05}.parquet")
            job.frame(part).write_parquet(written[-1], compression="lz4", statistics=False)
        whole = Path(temporary) / "whole"
        if written:
            pl.scan_parquet(written).sink_parquet(whole, compression="zstd")
        else:
            pl.DataFrame(schema=[*_told_apart(job.table.header), *job.names()]).write_parquet(whole)
        with whole.open("rb") as handle:
            while chunk := handle.read(_COPIED_BYTES):
                out.write(chunk)


def _ndjson(job: Job, part: Part, first: int, out: BinaryIO) -> None:
    own = answered.own_columns(part, job.table)
    columns: dict[str, pl.Series] = {
        ROW: pl.int_range(first, first + len(part.errors), eager=True),
        **({} if job.table.id is None else {"id": own[job.table.id]}),
        **({} if job.table.structure is None else {"smiles": own[job.table.structure]}),
        "columns": _together(own, _told_apart(job.table.header)),
        "predictions": _predictions(job, part),
        "error": _errors(part),
    }
    frame = pl.DataFrame([column.alias(name) for name, column in columns.items()])
    frame.write_ndjson(out)


def _predictions(job: Job, part: Part) -> pl.Series:
    value, ends = answered.values(part, job.release), answered.ends(part, job.release)
    fields = {
        "model_value": answered.all_rounded(part.said.mean),
        "similarity": answered.all_rounded(part.said.similarity),
        "spread": answered.all_rounded(part.said.spread),
    }
    inside = answered.inside(part)
    heads = []
    for at in job.tasks:
        task = job.release.tasks[at]
        named = {name: answered.placed(part, numbers[:, at]) for name, numbers in fields.items()}
        low, high = (answered.placed(part, end[:, at]) for end in ends)
        shown = {
            "value": answered.placed(part, value[:, at]),
            "unit": pl.repeat(task.unit, len(part.errors), eager=True),
            "lower": low,
            "upper": high,
            "inside": answered.placed(part, inside[:, at]).cast(pl.Boolean),
            **named,
        }
        if job.measured:
            shown["measured"] = _measured(answered.measured(part, at), task.unit)
        heads.append(_together(list(shown.values()), list(shown)))
    all_heads = _together(heads, [job.release.tasks[at].task for at in job.tasks])
    return _where(all_heads, pl.Series(part.errors, dtype=pl.String).is_null())


def _measured_texts(found: Sequence[Finding | None]) -> pl.Series:
    return pl.Series([one and one.text for one in found], dtype=pl.String)


def _measured(found: Sequence[Finding | None], unit: str) -> pl.Series:
    """Returns what `/v1/predict` says of it, as a column of structs."""
    kinds = {"value": pl.Float64, "unit": pl.String, "qualifier": pl.String, "n": pl.Int64}
    shown = [one and (one.value, unit, one.qualifier, one.n) for one in found]
    return pl.Series(
        [one and dict(zip(kinds, one, strict=True)) for one in shown], dtype=pl.Struct(kinds)
    )


def _errors(part: Part) -> pl.Series:
    faults = [None if error is None else error.partition(": ") for error in part.errors]
    steps = pl.Series([fault and fault[0] for fault in faults], dtype=pl.String)
    causes = pl.Series([fault and fault[2] for fault in faults], dtype=pl.String)
    return _where(_together([steps, causes], ["step", "cause"]), steps.is_not_null())


def _where(column: pl.Series, keep: pl.Series) -> pl.Series:
    frame = pl.DataFrame([column.alias("column"), keep.alias("keep")])
    return frame.select(pl.when("keep").then("column"))[:, 0]


def _together(columns: Sequence[pl.Series], names: Sequence[str]) -> pl.Series:
    frame = pl.DataFrame([column.alias(name) for name, column in zip(names, columns, strict=True)])
    return frame.to_struct()


def _sdf(job: Job, part: Part, _first: int, out: BinaryIO) -> None:
    ours = list(zip(job.names(), job.columns(part), strict=True))
    if RECORD in part.rows.columns:
        heads: Iterable[str] = map(_open_end, part.rows[RECORD])
        properties = ours
    else:
        heads = _drawn(job, part)
        header = _told_apart(job.table.header)
        properties = [*zip(header, answered.own_columns(part, job.table), strict=True), *ours]
    names = [f"{at}" for at in range(len(properties))]
    frame = pl.DataFrame(
        [column.alias(at) for at, (_, column) in zip(names, properties, strict=True)]
    )
    texts = [_property(at, name) for at, (name, _) in zip(names, properties, strict=True)]
    body = frame.select(pl.concat_str([pl.lit(""), *texts]))[:, 0]
    for head, text in zip(heads, body, strict=True):
        out.write(f"{head}{text}$$$$\n".encode())


def _open_end(record: str) -> str:
    """Returns a record to which properties may be added."""
    text = record.rstrip("\n")
    return f"{text}\n" if text.endswith("M  END") else f"{text}\n\n"


def _property(column: str, name: str) -> pl.Expr:
    # A cell with a line end, or one that looks like an end of the record, would break it off.
    text = pl.col(column).cast(pl.String).str.replace_all(r"[\r\n]+", " ")
    safe = text.str.replace(r"^([>$])", " ${1}")
    title = name.replace("\n", " ").replace("<", "(").replace(">", ")")
    filled = pl.concat_str([pl.lit(f">  <{title}>\n"), safe, pl.lit("\n\n")])
    return pl.when(pl.col(column).is_null()).then(pl.lit("")).otherwise(filled)


def _drawn(job: Job, part: Part) -> Iterator[str]:
    """Yields a molblock with coordinates for each structure; an empty one where it is none."""
    from rdkit.Chem import MolToMolBlock, rdDepictor

    from agent.features.light import light_mol  # RDKit, which the other formats do without

    column = 0 if job.table.structure is None else job.table.structure
    for text, error in zip(answered.own_columns(part, job.table)[column], part.errors, strict=True):
        # What a worker refused, or died of, is not read once more here.
        given = "" if error or text is None else text
        mol = light_mol(given, "molblock" if "M  END" in given else "smiles")
        if isinstance(mol, InvalidStructure):
            yield _NO_ATOMS
            continue
        rdDepictor.Compute2DCoords(mol)
        yield MolToMolBlock(mol)


def _free(name: str, taken: set[str]) -> str:
    """Returns a name that no column has yet, and takes it."""
    found, more = name, 1
    while found in taken:
        found = f"onggi_{name}" if more == 1 else f"onggi_{name}_{more}"
        more += 1
    taken.add(found)
    return found


def _told_apart(header: Sequence[str]) -> list[str]:
    """Returns names of which no two are equal; the first of each keeps its own."""
    found: dict[str, None] = {}
    for name in header:
        more, new = 1, name
        while new in found:
            more += 1
            new = f"{name}_{more}"
        found[new] = None
    return list(found)


_WRITERS: dict[str, Callable[[Job, Part, int, BinaryIO], None]] = {
    "csv": _csv,
    "sdf": _sdf,
    "ndjson": _ndjson,
}
