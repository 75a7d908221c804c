"""The page parses, stands by itself, and shows every text as text."""

import base64
import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.report import About, FileRow, StoreRow, build_report
from agent.assays.report_page import page
from agent.page.markup import Html, counted, join, tag
from tests.kit.html import Reader
from tests.unit.assays.test_report import INDEX, Silo, reading, silo

__all__ = ["silo"]  # the fixture

EVIL = "<script>alert(1)</script>\"'&\n\x1b[31m"


def full(silo: Silo, *, detailed: bool = False) -> dict[str, Any]:
    rows = [reading(n, f"{n + 1}", date="2026-01-05") for n in range(30)]
    rows += [reading(n, f"> {n}") for n in range(30, 40)]
    rows += [reading(n, "positive", "hERG", "") for n in range(3)]
    rows += [reading(n, "1", EVIL) for n in range(6)]
    silo.take(rows, name=f"{EVIL}.csv")
    silo.files.append(FileRow("lab", "bad.csv", "refused", EVIL))
    return silo.report(detailed=detailed)


def test_the_page_stands_by_itself(silo: Silo) -> None:
    content = page(full(silo))
    reader = Reader(content)
    names = {name for name, _ in reader.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "form", "a", "base"}
    assert not re.search(rb"(?:https?:)?//|url\(|@import|javascript:", content)
    attributes = {key for _, attrs in reader.tags for key in attrs}
    assert not {key for key in attributes if key.startswith("on")} | attributes & {"style", "src"}


def test_the_policy_allows_the_style_and_nothing_else(silo: Silo) -> None:
    text = page(full(silo)).decode()
    found = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert found
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    (policy,) = (
        attrs["content"]
        for name, attrs in Reader(text.encode()).tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_every_text_is_shown_as_text(silo: Silo) -> None:
    content = page(full(silo, detailed=True))
    assert b"<script" not in content
    assert EVIL.replace("\r", "") in Reader(content).text


def test_what_the_report_says_is_on_the_page(silo: Silo) -> None:
    text = Reader(page(full(silo))).text
    for said in (
        "Ingest report of silo-a",
        "No structures, no values",
        "49measurements read",
        "Solubility",
        "10 more labelled compounds",
        "25 more inactives",
        "10 “>” (25%)",
        "2026-01-05 to 2026-01-05, 10 undated",
        "unmapped_assay",
        "rows 2, 3, 4",
    ):
        assert said in text
    assert "SECRET" not in text
    assert "SECRET" in Reader(page(full(silo, detailed=True))).text


def test_what_later_rows_did_and_what_waits_for_a_decision_is_on_the_page(silo: Silo) -> None:
    rows = [reading(n, f"{n + 3.5}", measurement_id=f"m{n}") for n in range(40)]
    rows += [reading(n, "3") for n in range(40, 60)]
    rows += [reading(n, "> 100") for n in range(60, 72)]
    silo.take([*rows, reading(1, "4000"), reading(1, "100000")])
    silo.take([reading(1, "9", measurement_id="m1")], name="b.csv")
    silo.take([reading(2, "5", measurement_id="m2", retracted=True)], name="c.csv")
    text = Reader(page(silo.report())).text
    for said in (
        "1 were replaced by a later row, 1 were retracted; 73 count now.",
        "solubility: 20 of 73 values from lab at the lower limit",
        "decided: 12 of 73 values from lab at the upper limit",
        "SD 2.1 over 1 compound, more than 0.6; 1 beyond it",
        "at most 0.6 is expected",
    ):
        assert said in text
    assert "lower limit (3)" in Reader(page(silo.report(detailed=True))).text


def test_an_empty_report_is_a_page() -> None:
    report = build_report(About("", "2026-11-23T09:00:00Z"), [StoreRow("a", "sdf")], [], INDEX)
    text = Reader(page(report)).text
    assert "Nothing waits for a person." in text
    assert "No task has data yet." in text


def test_a_store_of_a_thousand_files_has_a_short_page() -> None:
    files = [FileRow("a", f"{n}.csv", "found") for n in range(1000)]
    report = build_report(About("", "2026-11-23T09:00:00Z"), [StoreRow("a", "sdf")], files, INDEX)
    assert "800 more files" in Reader(page(report)).text


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    files = [FileRow("a", "x\udcff.csv", "refused", "\ud800")]
    report = build_report(About("", "2026-11-23T09:00:00Z"), [], files, INDEX)
    assert "x\\udcff.csv" in Reader(page(report)).text


@given(st.text(), st.text())
def test_data_never_becomes_markup(first: str, second: str) -> None:
    made = tag("p", first, tag("b", second, title=first), class_=second)
    assert [name for name, _ in Reader(made.encode(errors="backslashreplace")).tags] == ["p", "b"]


def test_markup() -> None:
    assert tag("rect", x=1.5, y=2.0, class_="a") == '<rect x="1.5" y="2" class="a"></rect>'
    assert tag("meta", name="a", http_equiv="b") == '<meta name="a" http-equiv="b">'
    assert join("<", Html("<b>")) == "&lt;<b>"
    assert [counted(n, "row") for n in (0, 1, 1200)] == ["0 rows", "1 row", "1,200 rows"]


@pytest.mark.parametrize("value", ["<", '"', "&", "'"])
def test_attributes_come_back_as_they_were(value: str) -> None:
    ((_, attributes),) = Reader(tag("p", title=f"a{value}b").encode()).tags
    assert attributes == {"title": f"a{value}b"}
    assert value not in tag("p", title=value)[10:-6] or value == "&"
