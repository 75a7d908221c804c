"""The templates say what the program does: defaults are defaults, and every example is valid."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from agent.assays.units import parse
from agent.config import Config, PrivateEndpoint, Store, load
from agent.errors import Stop
from agent.policy.judge import Code
from agent.policy.rules import DEFAULT, Policy, read_policy
from agent.privacy.accounting import calibrate
from agent.stores.profile import AssayColumn, AssayName, Columns, Profile, load_profile
from agent.wire.documents import LocalNoise
from consortium.plans import read_draft

TEMPLATES = Path(__file__).parents[2] / "config_templates"
EXAMPLE = re.compile(r"^#(?=[\[a-z])", re.MULTILINE)  # prose has a blank behind its "#"


def template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def examples(text: str) -> str:
    return "\n".join(line[1:] for line in text.splitlines() if EXAMPLE.match(line))


def sections(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def used_keys(entries: list[dict[str, Any]]) -> set[str]:
    return {key for entry in entries for key in entry}


def test_the_configuration_template_says_the_defaults() -> None:
    assert load(TEMPLATES / "onggi.toml") == Config()


def test_every_section_and_key_stands_in_the_template() -> None:
    raw = tomllib.loads(template("onggi.toml"))
    expected = {name: set(section.model_fields) for name, section in sections(Config)}
    assert {name: set(keys) for name, keys in raw.items()} == expected


def test_the_examples_are_valid_and_use_every_key(tmp_path: Path) -> None:
    path = tmp_path / "onggi.toml"
    path.write_text(EXAMPLE.sub("", template("onggi.toml")), encoding="utf-8")
    config = load(path)
    assert [store.kind for store in config.store] == ["kmelloddy", "table", "sdf", "database"]
    assert {own.kind for own in config.private} == {"regression", "classification"}
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    assert used_keys(raw["store"]) == set(Store.model_fields)
    assert used_keys(raw["private"]) == set(PrivateEndpoint.model_fields)


def test_the_optional_keys_of_an_example_show_their_defaults() -> None:
    raw = tomllib.loads(examples(template("onggi.toml")))
    (database,) = [store for store in raw["store"] if store["kind"] == "database"]
    for name in ("poll_s", "overlap_s"):
        assert database[name] == Store.model_fields[name].default


def test_a_key_that_is_misspelt_in_the_template_would_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "onggi.toml"
    path.write_text(template("onggi.toml").replace("sweep_s", "sweeps"), encoding="utf-8")
    with pytest.raises(Stop, match=r"keeper\.sweeps: unknown key"):
        load(path)


def test_the_profile_template_is_a_valid_profile_in_both_forms(tmp_path: Path) -> None:
    long_form = tmp_path / "long.toml"
    long_form.write_text(examples(template("profile.toml")), encoding="utf-8")
    assert load_profile(TEMPLATES / "profile.toml").shape == "wide"
    assert load_profile(long_form).shape == "long"


def test_the_profile_template_uses_every_key() -> None:
    wide = tomllib.loads(template("profile.toml"))
    long_form = tomllib.loads(examples(template("profile.toml")))
    assert set(wide) | set(long_form) == set(Profile.model_fields)
    assert set(wide["columns"]) | set(long_form["columns"]) == set(Columns.model_fields)
    assert used_keys(wide["assay"]) == set(AssayColumn.model_fields)
    assert used_keys(long_form["map"]) <= set(AssayName.model_fields)


def test_the_units_of_the_examples_are_known() -> None:
    profile = tomllib.loads(template("profile.toml"))
    private = tomllib.loads(examples(template("onggi.toml")))["private"]
    for unit in [entry.get("unit", "") for entry in profile["assay"] + private]:
        assert parse(unit).quantity


def test_the_draft_with_noise_is_a_draft_that_asks_for_it() -> None:
    draft = read_draft(TEMPLATES / "plan_noise.toml")
    asked = draft.privacy
    assert isinstance(asked, LocalNoise)
    assert draft.recipe.weighting == "uniform"
    rounds, steps = draft.recipe.rounds, asked.steps(draft.recipe)
    noise = calibrate(asked.epsilon, asked.delta, asked.sampling_rate, rounds * steps)
    # The lot is what the rate samples of the 10,000 compounds that the numbers were chosen for.
    assert draft.recipe.batch_size == pytest.approx(asked.sampling_rate * 10_000)
    assert 2 < noise < 3


def test_the_policy_template_says_the_defaults() -> None:
    assert read_policy(TEMPLATES / "policy.toml")[0] == DEFAULT


def test_every_section_and_key_stands_in_the_policy_template(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(EXAMPLE.sub("", template("policy.toml")), encoding="utf-8")
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(raw) == set(Policy.model_fields)
    for name, section in sections(Policy):
        assert set(raw[name]) == set(section.model_fields)
    # The configuration's own keys: those that stand here have its defaults.
    gate = read_policy(path)[0].gate
    assert gate == Config().gate


def test_every_code_of_a_refusal_stands_in_the_policy_template() -> None:
    said = set(re.findall(r"\[([a-z_]+)\]$", template("policy.toml"), re.MULTILINE))
    assert set(get_args(Code)) - {"not_judged"} <= said
