"""`onggi evaluate`: how well models made from files would do on later compounds."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent.cli.setup import JSON
from agent.errors import Refused, Stop
from agent.wire.documents import Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.keeper.evaluation.order import Evaluation, Judgement, SiloFiles
    from agent.keeper.orders import Progress as Said

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.option("--data", type=_FILE, required=True, help="What is learned from.")
@click.option("--test", type=_FILE, help="What is judged on; else --data is split by time.")
@click.option("--profile", type=_FILE, required=True, help="What the columns of both mean.")
@click.option(
    "--silo",
    "silos",
    multiple=True,
    metavar="NAME=FILE:PROFILE",
    help="Another silo to learn with; the same name again adds a file to it.",
)
@click.option("--baseline", is_flag=True, help="Also train LightGBM on the same features.")
@click.option("--catalogue", type=_FILE, help="Endpoints, for profiles without assays, as JSON.")
@click.option("--seed", type=click.IntRange(0, 999), default=0, help="Of all that is drawn.")
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU cores to use; 0: all.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep what structures are and their features here, for the next time.",
)
@JSON
def evaluate(  # noqa: PLR0913 - click gives one argument an option
    data: Path,
    test: Path | None,
    profile: Path,
    silos: tuple[str, ...],
    baseline: bool,
    catalogue: Path | None,
    seed: int,
    threads: int,
    cache: Path | None,
    as_json: bool,
) -> None:
    """Train on files and judge on later compounds; nothing of a silo's state is read or changed.

    Without --test the newest 18 % of the compounds are held back, and once more a fifth of the
    scaffolds. Errors are on the scale that the profile says (`transform`).
    """
    found = _judged(
        cache,
        data={"path": str(data), "profile": str(profile)},
        test=str(test) if test else "",
        silos=_silos(silos),
        catalogue=_catalogue(catalogue) if catalogue else None,
        seed=seed,
        threads=threads,
        baseline=baseline,
    )
    if as_json:
        click.echo(json.dumps(to_json(found), indent=1, ensure_ascii=False))
    else:
        _print(found)


def _judged(cache: Path | None, **facts: object) -> "Evaluation":
    from agent.keeper.evaluation.order import EvaluateOrder
    from agent.keeper.evaluation.start import evaluated

    with tempfile.TemporaryDirectory(prefix="onggi-evaluate-") as temporary:
        job, kept = Path(temporary) / "job", cache or Path(temporary) / "cache"
        for folder in (job, kept):
            folder.mkdir(parents=True, exist_ok=True)
        order = EvaluateOrder.model_validate({**facts, "cache": str(kept)})
        with _shown(Console(stderr=True)) as show:
            return evaluated(order, job, show)


def to_json(found: "Evaluation") -> dict[str, object]:
    """Returns what `--json` prints: the first judgement's figures, and all that is known beside."""
    first = found.judgements[0].model_dump(mode="json")
    return {
        "endpoints": first["endpoints"],
        "mean_rae": first["mean_rae"],
        "train_seconds": first["train_seconds"],
        "more": found.model_dump(mode="json"),
    }


def _silos(texts: Sequence[str]) -> "tuple[SiloFiles, ...]":
    from agent.keeper.evaluation.order import SiloFiles, SourceFile

    files: dict[str, list[SourceFile]] = {}
    for text in texts:
        name, _, rest = text.partition("=")
        path, _, profile = rest.rpartition(":")
        if not (name and path and profile):
            raise click.UsageError(f"--silo takes NAME=FILE:PROFILE, not {text!r}.")
        for given in (path, profile):
            if not Path(given).is_file():
                raise click.UsageError(f"--silo {name}: there is no file {given}.")
        files.setdefault(name, []).append(SourceFile(path=path, profile=profile))
    return tuple(SiloFiles(name=name, files=tuple(some)) for name, some in files.items())


def _catalogue(path: Path) -> Catalogue:
    try:
        return Catalogue.parse(path.read_bytes())
    except (OSError, Refused) as error:
        raise Stop(f"{path} is no catalogue: {error}") from error


@contextmanager
def _shown(console: Console) -> "Iterator[Callable[[Said], None]]":
    """Shows progress on a terminal, and nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        bar = bars.add_task("starting", total=None)

        def show(said: "Said") -> None:
            bars.update(bar, description=said.stage, completed=said.done, total=said.total or None)

        yield show


def _print(found: "Evaluation") -> None:
    console = Console()
    for judgement in found.judgements:
        console.print(_table(judgement))
        console.print()
    for note in found.notes:
        console.print(note)
    aside = sum(sum(file.set_aside.values()) for file in found.files)
    used = sum(file.used for file in found.files)
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found.seconds.items())
    console.print(f"{used:,} measurements used, {aside:,} set aside; {times}.", highlight=False)


_TITLES = {
    "test": "Judged on the test file",
    "time": "Judged on the newest compounds",
    "scaffold": "Judged on scaffolds that were held back",
}


def _table(judgement: "Judgement") -> Table:
    known, held = judgement.compounds
    title = f"{_TITLES[judgement.split]}: {held:,} compounds, {known:,} to learn from"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("endpoint")
    # In a narrow terminal the name takes more lines, and no figure is cut.
    for heading in ("n", "MAE", "95 %", "RAE", "Spearman", "in 90 %"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("answers", no_wrap=True)
    trees = judgement.baseline_mean_rae is not None
    if trees:
        table.add_column("LightGBM's RAE", justify="right")
    for name, one in judgement.endpoints.items():
        detail = judgement.details[name]
        low, high = detail.mae_95
        cells = [name, f"{one.n:,}", _text(one.mae), f"{_text(low)}–{_text(high)}"]
        cells += [_text(one.rae), _text(one.spearman), _text(one.coverage_90), detail.choice]
        table.add_row(*cells, *([_text(detail.baseline_rae)] if trees else []))
    mean = ["mean", "", "", "", _text(judgement.mean_rae), "", "", ""]
    table.add_row(*mean, *([_text(judgement.baseline_mean_rae)] if trees else []), style="bold")
    return table


def _text(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.3f}"
