from pathlib import Path

import pytest

from agent.keeper.evaluation.scale import scaled
from agent.stores.profile import AssayColumn, AssayName, Columns, Profile, load_profile
from agent.wire.documents import Catalogue, Endpoint

PROFILES = Path(__file__).parents[4] / "benchmarks" / "profiles"


def _one(**facts: object) -> Endpoint:
    assay = AssayColumn.model_validate({"column": "x", "endpoint": "y", **facts})
    found = scaled(Profile(version=1, assay=(assay,)))
    return found.index.endpoint("private:assay0")


@pytest.mark.parametrize(
    ("unit", "transform", "wanted"),
    [
        ("", "", ("", "identity")),
        ("log10 uM", "", ("log10 uM", "identity")),
        ("-log10 M", "", ("-log10 M", "identity")),
        ("uM", "", ("uM", "log10_plus_1")),
        ("%", "identity", ("%", "identity")),
        ("log10 mL/min/kg", "log10_plus_1", ("mL/min/kg", "log10_plus_1")),
        ("log10(uM)", "log10", ("uM", "log10")),
        ("nM", "neg_log10_molar", ("uM", "neg_log10_molar")),
    ],
)
def test_the_profile_alone_says_the_scale(
    unit: str, transform: str, wanted: tuple[str, str]
) -> None:
    found = _one(unit=unit, transform=transform)
    assert (found.unit, found.transform) == wanted


def test_a_zero_is_a_plain_zero_where_the_scale_has_one() -> None:
    facts = {"endpoint": "y", "unit": "uM", "below": ("0", "BLQ"), "limit": 0.5}
    plus = AssayColumn.model_validate({"column": "a", **facts})
    log = AssayColumn.model_validate({"column": "b", "transform": "log10", **facts})
    only = AssayColumn.model_validate({"column": "c", **facts, "below": ("0.0",)})
    found = scaled(Profile(version=1, assay=(plus, log, only))).profile.assay
    assert [(one.below, one.limit) for one in found] == [
        (("BLQ",), 0.5),
        (("0", "BLQ"), 0.5),
        ((), None),
    ]


def test_every_assay_is_a_task_of_its_own_name() -> None:
    columns = Columns(structure="s", value="v", assay="a", unit="u")
    names = tuple(AssayName(assay=name, endpoint="logd") for name in ("First", "Second"))
    found = scaled(Profile(version=1, columns=columns, map=names))
    assert found.names == {"private:assay0": "First", "private:assay1": "Second"}
    assert [entry.endpoint for entry in found.profile.map] == list(found.names)


def test_a_long_table_without_a_map_needs_the_catalogue() -> None:
    profile = Profile(version=1, columns=Columns(structure="s", value="v", test="t"))
    endpoint = Endpoint(id="logd", name="LogD", group="P", kind="regression")
    catalogue = Catalogue(consortium="c", version=1, endpoints=(endpoint,))
    assert scaled(profile, catalogue).index.tasks == ("logd",)
    assert scaled(profile).index.tasks == ()


def test_the_series_is_judged_on_all_nine_endpoints() -> None:
    found = scaled(load_profile(PROFILES / "expansionrx.toml"))
    scales = {name: found.index.endpoint(task).transform for task, name in found.names.items()}
    assert len(scales) == 9
    assert {name for name, scale in scales.items() if scale == "identity"} == {"LogD"}
    assert set(scales.values()) == {"identity", "log10_plus_1"}
