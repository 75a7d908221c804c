from pathlib import Path

import click
import pytest

from agent.cli.predict_files import _target, named


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        (["CCO"], None),
        (["CCO", "out.csv"], None),
        (["C.C", "CCN"], None),
        (["in.CSV"], ("in.CSV", "-")),
        (["in.sdf", "out.csv"], ("in.sdf", "out.csv")),
        (["-", "out.parquet"], ("-", "out.parquet")),
        (["in.smi", "-"], ("in.smi", "-")),
    ],
)
def test_files_are_told_from_structures(
    arguments: list[str], files: tuple[str, str] | None
) -> None:
    assert named(arguments) == files


@pytest.mark.parametrize("arguments", [["in.csv", "out.doc"], ["in.csv", "a.csv", "b.csv"]])
def test_what_cannot_be_written_is_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        named(arguments)


def test_an_answer_that_breaks_off_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("old")

    def break_off() -> None:
        with _target(str(path)) as handle:
            handle.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
