"""Figures for Prometheus as a text file, for services that listen to nobody.

The textfile collector of node_exporter takes up every `*.prom` of a folder. Names and labels are
words of this program alone: no structure, no compound, no file.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric with its samples, by labels."""

    name: str
    said: str
    kind: Literal["gauge", "counter"]
    samples: Mapping[Labels, float]


def render(figures: Sequence[Figure]) -> bytes:
    """Writes figures in Prometheus' text format, version 0.0.4."""
    lines: list[str] = []
    for figure in figures:
        lines += [f"# HELP {figure.name} {figure.said}", f"# TYPE {figure.name} {figure.kind}"]
        for labels, value in figure.samples.items():
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            lines.append(f"{figure.name}{{{inner}}} {value:g}" if inner else _bare(figure, value))
    return ("\n".join(lines) + "\n").encode()


def _bare(figure: Figure, value: float) -> str:
    # Seconds since the epoch, and bytes, have more digits than `g` keeps.
    return f"{figure.name} {int(value) if float(value).is_integer() else value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def publish(path: Path, figures: Sequence[Figure]) -> None:
    """Replaces the file; renamed but not fsynced, for it is written anew within a minute.

    A disk without room leaves the old one, whose age is an alarm of its own.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with suppress(OSError):
        path.parent.mkdir(mode=0o755, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(render(figures))
        temporary.replace(path)


def one(name: str, said: str, value: float, kind: Literal["gauge", "counter"] = "gauge") -> Figure:
    """Returns a metric of one sample without labels."""
    return Figure(name, said, kind, {(): value})
