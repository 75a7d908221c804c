"""The page parses, stands by itself, and says what the card says."""

import re

import pytest

from agent.releases.card import TaskCard
from agent.releases.card_page import card_page
from tests.kit.cards import LOGD, OLD, OWN, card
from tests.kit.consortium import RECIPE
from tests.kit.html import Reader

EVIL = "<script>alert(1)</script>\"'&\n"


def test_the_page_stands_by_itself() -> None:
    content = card_page(card())
    names = {name for name, _ in Reader(content).tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "a", "base"}
    assert not re.search(rb"(?:https?:)?//|url\(|@import|javascript:", content)


def test_what_the_card_says_is_on_the_page() -> None:
    text = Reader(card_page(card())).text
    for said in (
        "Release r1, version 3",
        "1 of 2no worse than made here alone",
        "91%of newest values in 90% intervals",
        "logD 7.4",
        "−20%",
        "+10%",
        "average",
        "similarity 0.45 or more, members within 0.2",
        "±0.9 on average, from 100 labels",
        "2025-01-01 to 2026-01-01",
        "12 s, 640 MB at most",
        "similarity 0.20 to 0.50: error 0.6, 40 labels, 85% in 90% intervals",
        "90% asked for, 91% inside",
        "Too little was measured here to judge it.",
    ):
        assert said in text


def test_every_text_is_shown_as_text() -> None:
    content = card_page(card("r1", LOGD.model_copy(update={"name": EVIL, "unit": EVIL})))
    assert b"<script" not in content
    assert EVIL in Reader(content).text


@pytest.mark.parametrize("task", [LOGD, OWN, OLD], ids=lambda task: task.task)
def test_a_plot_lies_within_its_frame(task: TaskCard) -> None:
    for name, attributes in Reader(card_page(card("r1", task))).tags:
        if name == "circle":
            assert 0 <= float(attributes["cx"] or -1) <= 320
            assert 0 <= float(attributes["cy"] or -1) <= 160


def test_few_labels_are_said() -> None:
    assert LOGD.confidence is not None
    pooled = LOGD.confidence.model_copy(update={"pooled": True, "n": 12})
    text = Reader(card_page(card("r1", LOGD.model_copy(update={"confidence": pooled})))).text
    assert "from 12 labels. Few labels: all endpoints together set it" in text


def test_an_old_card_says_what_it_knows_and_no_more() -> None:
    """Cards of layout 1 have neither window nor cost; nothing may be made up for them."""
    old = card("r1", OLD).model_copy(update={"window": None, "cost": None})
    text = Reader(card_page(old)).text
    assert "compounds measured here" not in text
    assert "no worse than made here alone" not in text
    assert "MB at most" not in text


def test_a_card_without_dates_names_no_window_and_one_with_a_recipe_says_it() -> None:
    window = card().window
    assert window is not None
    undated = window.model_copy(update={"first": "", "last": ""})
    text = Reader(card_page(card().model_copy(update={"window": undated, "recipe": RECIPE}))).text
    assert "2025-01-01" not in text
    assert "900" in text
    assert "2 rounds of 1 epoch, then 1 epoch here" in text
