"""The documents: frozen, strict, and true to what was signed."""

import json

import pytest
from annotated_types import Le
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.errors import Refused
from agent.records import Json
from agent.wire import strict_json
from agent.wire.documents import (
    Document,
    EnrolmentToken,
    Feed,
    FeedItem,
    ObjectRef,
    Receipt,
    Recipe,
    TrustRoot,
)

_RECEIPT = Receipt(
    consortium="c",
    silo="silo-a",
    envelope_id="ab" * 32,
    round_id="r-1",
    log_index=1,
    received="2026-01-01T00:00:00.000000Z",
)


def _changed(**fields: Json) -> bytes:
    return strict_json.dumps({**json.loads(_RECEIPT.to_bytes()), **fields})


def test_a_document_reads_back() -> None:
    assert Receipt.parse(_RECEIPT.to_bytes()) == _RECEIPT
    feed = Feed(
        items=(
            FeedItem(
                number=1, kind="plan", document="", objects=(ObjectRef(sha256="0" * 64, bytes=1),)
            ),
        ),
        last=1,
    )
    assert Feed.parse(feed.to_bytes()) == feed


def test_a_document_is_frozen() -> None:
    with pytest.raises(ValidationError):
        _RECEIPT.silo = "silo-b"  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": 1},
        {"kind": "refusal"},
        {"log_index": 0},
        {"log_index": 2**31},
        {"log_index": 10**30},
        {"log_index": "1"},
        {"log_index": 1.0},
        {"log_index": True},
        {"silo": "Silo A"},
        {"silo": "../etc"},
        {"silo": "silo-a\n"},
        {"silo": "s" * 64},
        {"envelope_id": "AB" * 32},
        {"envelope_id": "ab" * 32 + "\n"},
        {"received": "2026-01-01"},
        {"received": "2026-01-01T00:00:00+00:00"},
        {"received": "٢٠٢٦-01-01T00:00:00Z"},
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(fields: dict[str, Json]) -> None:
    with pytest.raises(Refused) as caught:
        Receipt.parse(_changed(**fields))
    assert caught.value.code == "malformed"
    assert "Receipt is malformed at " in caught.value.reason


def test_every_count_and_version_has_an_upper_bound() -> None:
    models, bounded = [Document], 0
    while models:
        model = models.pop()
        models += model.__subclasses__()
        if model.__module__ not in {Receipt.__module__, Recipe.__module__}:
            continue
        for name, field in model.model_fields.items():
            if field.annotation is int:
                bounded += 1
                assert any(isinstance(one, Le) for one in field.metadata), f"{model} {name}"
    assert bounded > 20


@pytest.mark.parametrize("cap", [0.0, 0.5, 1e7, float("nan")])
def test_a_weight_cap_is_bounded(cap: float) -> None:
    recipe = {
        "rounds": 1, "local_epochs": 1, "batch_size": 8, "learning_rate": 0.01,
        "weight_decay": 0.0, "weighting": "n", "server_momentum": 0.0, "release_every": 1,
        "finetune_epochs": 0,
    }  # fmt: skip
    assert Recipe.model_validate(recipe).weight_cap == 1000.0
    with pytest.raises(ValidationError):
        Recipe.model_validate({**recipe, "weight_cap": cap})


def test_a_missing_field_and_a_wrong_top_are_refused() -> None:
    for content in (b"{}", b"[]", b"null", b'"x"'):
        with pytest.raises(Refused, match="malformed"):
            Receipt.parse(content)


def test_the_reason_does_not_quote_the_input() -> None:
    with pytest.raises(Refused) as caught:
        Receipt.parse(_changed(silo="SECRET VALUE"))
    assert "SECRET" not in str(caught.value)


def test_the_strict_parser_comes_first() -> None:
    doubled = _RECEIPT.to_bytes()[:-1] + b',"silo":"silo-b"}'
    with pytest.raises(Refused, match="duplicate_key"):
        Receipt.parse(doubled)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    for model in (Receipt, TrustRoot, EnrolmentToken, Feed):
        with pytest.raises(Refused):
            model.parse(content)


@settings(max_examples=300)
@given(st.integers(0, len(_RECEIPT.to_bytes()) - 1), st.integers(1, 255))
def test_an_altered_byte_is_refused_or_written_as_read(place: int, change: int) -> None:
    altered = bytearray(_RECEIPT.to_bytes())
    altered[place] ^= change
    try:
        document = Receipt.parse(bytes(altered))
    except Refused:
        return
    assert Receipt.parse(document.to_bytes()) == document
