import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.errors import Refused
from agent.releases.card import ModelCard, TaskCard, read_card, write_card
from agent.releases.folder import CARD
from agent.wire.documents import FeatureSpec, NetworkSpec, Scaling

MOMENT = "2026-01-02T03:04:05Z"


def _card() -> ModelCard:
    task = TaskCard(
        task="logd",
        name="logD 7.4",
        kind="regression",
        unit="",
        transform="identity",
        n_train=10,
        n_test=2,
        metric="mae",
        error_local=0.5,
        error_release=None,
        private=False,
    )
    return ModelCard(
        release_id="r1",
        version=1,
        created=MOMENT,
        plan_id="p1",
        tasks=(task,),
        features=FeatureSpec(
            version="onggi-fast-1",
            radius=2,
            hash_size=256,
            descriptors=(Scaling(name="tpsa", centre=72.0, spread=32.0),),
            clip=5.0,
        ),
        network=NetworkSpec(hidden=(8,), dropout=0.0, seed=1),
        gated=MOMENT,
        reference_sha256="0" * 64,
    )


def test_a_card_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_card(tmp_path, _card())
    assert read_card(tmp_path) == _card()


def test_a_missing_card_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no_card"):
        read_card(tmp_path)


def test_a_card_with_a_strange_field_is_refused(tmp_path: Path) -> None:
    content = _card().to_bytes()
    (tmp_path / CARD).write_bytes(content.replace(b'"version":1', b'"version":1,"more":1'))
    with pytest.raises(Refused, match="malformed"):
        read_card(tmp_path)


def test_a_card_of_the_first_layout_is_still_read(tmp_path: Path) -> None:
    old = json.loads(_card().to_bytes())
    for name in ("layout", "recipe", "window", "cost"):
        del old[name]
    for name in ("local_interval", "release_interval", "ways", "confidence"):
        del old["tasks"][0][name]
    (tmp_path / CARD).write_text(json.dumps(old))
    card = read_card(tmp_path)
    assert (card.layout, card.tasks[0].ways, card.tasks[0].confidence) == (1, (), None)


def test_a_card_of_a_layout_to_come_is_refused(tmp_path: Path) -> None:
    content = _card().to_bytes().replace(b'"layout":1', b'"layout":3')
    (tmp_path / CARD).write_bytes(content)
    with pytest.raises(Refused, match="malformed"):
        read_card(tmp_path)


def test_a_card_is_frozen() -> None:
    with pytest.raises(ValidationError):
        _card().version = 2  # type: ignore[misc]
