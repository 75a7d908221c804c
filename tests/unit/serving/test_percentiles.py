import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.releases import shelf
from agent.releases.attempts import Attempts
from agent.releases.card import ModelCard
from agent.releases.folder import activate
from agent.serving.percentiles import FILE, Percentiles
from agent.serving.predictor import Predictor
from agent.serving.problems import Problem
from agent.serving.questions import Questions
from agent.serving.shown import Shown
from agent.serving.swap import Models

Build = Callable[..., ModelCard]


@dataclass
class Surveys:
    """Answers at once, or with what it was told to raise."""

    asked: list[tuple[object, object, object]] = field(default_factory=list)
    error: Exception | None = None
    unshown: bool = False

    async def ask(self, head: Mapping[str, object], piece: bytes) -> bytes:
        assert (head["do"], piece) == ("survey", b"")
        self.asked.append((head["release"], head["of"], head["reference"]))
        if self.error is not None:
            raise self.error
        if self.unshown and head["of"] == "own_compounds":
            raise Refused("no_reference", "None.")
        return json.dumps({"n": 3, "endpoints": {"logd": [1.0] * 101}}).encode()


@pytest.fixture
def models(install: Build, releases: Path, tmp_path: Path) -> Models:
    install("r1", 1)
    activate(releases, "r1")
    models = Models(releases, Attempts(tmp_path), partial(Predictor.load, threads=1))
    models.step(0.0)
    return models


@pytest.fixture
def surveys() -> Surveys:
    return Surveys()


@pytest.fixture
def made(models: Models, surveys: Surveys, releases: Path, tmp_path: Path) -> Percentiles:
    return Percentiles(models, Questions(surveys), Shown.beside(releases), tmp_path)


def _lay_out(made: Percentiles, name: str) -> None:
    made.shown.reference.mkdir(exist_ok=True)
    staged = made.shown.reference.parent / "staged"
    staged.write_text("-")
    shelf.put(made.shown.reference, staged, name)


def _names(made: Percentiles) -> list[str]:
    found = made.found()
    assert found is not None
    return [one["name"] for one in found.sets]


def test_they_are_made_once_a_release_and_reference(made: Percentiles, surveys: Surveys) -> None:
    assert made.found() is None
    for _ in range(3):
        asyncio.run(made.step())
    assert surveys.asked == [("r1", "approved_drugs", "")]
    assert _names(made) == ["approved_drugs"]
    _lay_out(made, "a" * 64)
    for _ in range(3):
        asyncio.run(made.step())
    assert surveys.asked[1:] == [
        ("r1", "approved_drugs", ""),
        ("r1", "own_compounds", "a" * 64),
    ]
    assert _names(made) == ["approved_drugs", "own_compounds"]


def test_another_release_makes_them_anew(
    made: Percentiles, surveys: Surveys, models: Models, install: Build, releases: Path
) -> None:
    asyncio.run(made.step())
    install("r2", 2)
    activate(releases, "r2")
    models.step(1.0)
    asyncio.run(made.step())
    found = made.found()
    assert found is not None
    assert (found.release, found.version) == ("r2", 2)
    assert surveys.asked[-1] == ("r2", "approved_drugs", "")


def test_a_restart_finds_them(
    made: Percentiles, models: Models, surveys: Surveys, tmp_path: Path
) -> None:
    asyncio.run(made.step())
    again = Percentiles(models, Questions(surveys), made.shown, tmp_path)
    assert again.found() == made.found()
    asyncio.run(again.step())
    assert len(surveys.asked) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"release": "r1"}', '{"program": "0"}'])
def test_what_was_kept_badly_is_made_again(
    models: Models, surveys: Surveys, releases: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / FILE).write_text(content)
    made = Percentiles(models, Questions(surveys), Shown.beside(releases), tmp_path)
    assert made.found() is None
    asyncio.run(made.step())
    assert made.found() is not None


def test_a_full_disk_keeps_nobody_from_them(
    models: Models, surveys: Surveys, releases: Path, tmp_path: Path
) -> None:
    made = Percentiles(models, Questions(surveys), Shown.beside(releases), tmp_path / "nowhere")
    asyncio.run(made.step())
    assert made.found() is not None


def test_fingerprints_alone_have_no_own_compounds(made: Percentiles, surveys: Surveys) -> None:
    _lay_out(made, "a" * 64)
    surveys.unshown = True
    asyncio.run(made.step())
    assert _names(made) == ["approved_drugs"]


def test_without_a_release_nothing_is_asked(
    surveys: Surveys, releases: Path, tmp_path: Path
) -> None:
    models = Models(releases, Attempts(tmp_path), partial(Predictor.load, threads=1))
    asyncio.run(Percentiles(models, Questions(surveys), Shown.beside(releases), tmp_path).step())
    assert surveys.asked == []


def test_workers_that_are_busy_do_not_end_it(
    models: Models,
    surveys: Surveys,
    releases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.serving.percentiles._AGAIN_S", 0.0)
    made = Percentiles(models, Questions(surveys), Shown.beside(releases), tmp_path, look_s=0.01)
    surveys.error = Problem(503, "busy", "Later.")

    async def live() -> None:
        async with made.kept():
            while len(surveys.asked) < 3:
                await asyncio.sleep(0.01)
            surveys.error = None
            while made.found() is None:
                await asyncio.sleep(0.01)

    asyncio.run(live())
    assert _names(made) == ["approved_drugs"]
