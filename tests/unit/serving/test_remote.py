from collections.abc import Callable
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.releases.card import ModelCard
from agent.serving.bodies import Asked
from agent.serving.pool import Pool
from agent.serving.predictor import Predictor
from agent.serving.remote import RemoteRelease
from tests.unit.serving.test_pool import Running

Build = Callable[..., ModelCard]


def test_it_answers_as_the_release_itself_would(install: Build, releases: Path) -> None:
    install("r1", 1)
    given = [Asked("CCO", "smiles"), Asked("no", "smiles"), Asked("", "molblock")]
    asked = [(one.structure, one.fmt) for one in given]
    with Running(releases) as running:
        remote = RemoteRelease.load(releases / "r1", running.pool)
        assert remote.predict(asked) == Predictor.load(releases / "r1", threads=1).predict(asked)


def test_a_folder_of_another_name_is_refused(install: Build, releases: Path) -> None:
    install("r1", 1)
    (releases / "r1").rename(releases / "r2")
    with pytest.raises(Refused, match="wrong_card"):
        RemoteRelease.load(releases / "r2", Pool(releases, workers=1))
