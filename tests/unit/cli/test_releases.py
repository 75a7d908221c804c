"""`onggi releases` and what `onggi status` says of releases that do not serve."""

from typing import TYPE_CHECKING

import pytest

from agent.keeper.decisions import decisions
from agent.ledger.book import Detail, Ledger
from tests.kit.consortium import START, Consortium

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

WORSE = "logbb: MAE 0.4 -> 0.9 on 30 measurements: worse by 125%."


@pytest.fixture
def decided(home: "Home") -> "Home":
    """A silo that took a release, refused two for what they are and one for its weights."""
    home.enrol()
    weights = Consortium().release_document().weights_sha256
    gate: Detail = {
        "reason": "worse",
        "gate": {"logbb": WORSE, "solubility": "solubility: MAE 0.5 -> 0.4 on 40 measurements."},
        "outcomes": {"logbb": "worse", "solubility": "better"},
    }
    ends: list[tuple[str, str, Detail]] = [
        ("active", "", {}),
        ("refused", WORSE, gate),
        ("refused", "Tensor 'x' is not finite.", {"reason": "bad_weights"}),
        ("refused", "As r2.", {"reason": "worse", "held_as": "r2"}),
        ("refused", "Plan p2 is not trusted.", {"reason": "other"}),
    ]
    with Ledger(home.paths.ledger) as ledger:
        for number, (state, why, more) in enumerate(ends, start=1):
            document = Consortium().release_document(number)
            detail: Detail = {"version": number, "manifest": document.model_dump_json()}
            ledger.add("release", f"r{number}", "announced", START, detail)
            way = ("fetched", "verified", "staged", "gated", "trial", "active")
            for step in (*way[: way.index("active")], state) if state == "active" else (state,):
                item = ledger.get("release", f"r{number}")
                assert item is not None
                ledger.move(item, step, START, why, more)
        word: Detail = {"kind": "verdict", "about": "r2", "outcome": "refused"}
        ledger.add("statement", "5" * 64, "signed", START, word)
    assert weights
    return home


def test_every_release_with_its_class_and_its_reason(decided: "Home") -> None:
    said = " ".join(decided.said("releases").split())
    assert "r2 refused (worse):" in said
    assert f"✗ {WORSE}" in said
    assert "solubility: MAE 0.5 -> 0.4" in said
    assert "r3 refused (bad_weights): Tensor 'x' is not finite." in said
    assert "r4 refused (worse): As r2." in said
    assert "refused (signed)" in said


def test_for_machines(decided: "Home") -> None:
    first, second, *_, last = decided.json("releases")["releases"]
    assert (first["state"], first["reason"], first["quarantined"]) == ("active", None, False)
    assert second["heads"]["logbb"] == {"outcome": "worse", "sentence": WORSE}
    assert (second["quarantined"], second["told"]) == (
        True,
        [{"outcome": "refused", "state": "signed"}],
    )
    assert (last["reason"], last["quarantined"]) == ("other", False)
    assert decided.json("status")["releases"][1] == second


def test_the_status_explains_those_that_do_not_serve(decided: "Home") -> None:
    said = " ".join(decided.said("status").split())
    assert "Releases that do not serve" in said
    assert f"r2 refused (worse): ✗ {WORSE}" in said


def test_weights_that_a_person_let_pass_are_held_no_more(decided: "Home") -> None:
    weights = Consortium().release_document().weights_sha256
    with decided.config.open("a") as config:
        config.write(f'[gate]\nlet_pass = ["{weights}"]\n')
    assert not any(one["quarantined"] for one in decided.json("releases")["releases"])


def test_before_the_first_release(home: "Home") -> None:
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        ledger.add("release", "r0", "announced", START, {})  # of an older version
        assert decisions(ledger)[0]["weights_sha256"] == ""
        ledger.connection.execute("DELETE FROM item")
    assert home.said("releases") == "No release has come yet.\n"
    assert "do not serve" not in home.said("status")
