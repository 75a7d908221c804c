"""Weights that an operator publishes, as they are typed."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result
from tuf.api.metadata import Targets

from agent.clock import now
from agent.errors import EXIT_FAILED, EXIT_STOP
from agent.wire.documents import ReleaseManifest
from agent.wire.golden import Golden
from agent.wire.repository import MANIFEST
from agent.wire.update import Weights, decode, encode
from consortium import metadata
from consortium.cli import main
from consortium.repository import current

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def released(house: "House") -> "House":
    """A consortium whose plan of one round ended in release-1."""
    house.now = now()  # the commands read the clock
    house.enrol("a", "b")
    house.plan(rounds=1)
    house.tick()
    for name in "ab":
        house.deliver(name, house.seal(name))
    house.settle()
    return house


def _manifests(house: "House") -> list[ReleaseManifest]:
    with house.store.reading() as session:
        listed = metadata.read(current(session, "stable"))
    assert isinstance(listed, Targets)
    hashes = [one.hashes["sha256"] for path, one in listed.targets.items() if MANIFEST in path]
    found = [ReleaseManifest.parse((house.folder.objects / one).read_bytes()) for one in hashes]
    return sorted(found, key=lambda manifest: manifest.version)


def _weights(house: "House") -> Weights:
    content = (house.folder.objects / _manifests(house)[0].weights_sha256).read_bytes()
    return decode(content, house.shapes())


def _file(house: "House", weights: Weights) -> Path:
    path = house.folder.root.parent / "weights.safetensors"
    path.write_bytes(encode(weights))
    return path


def _publish(house: "House", weights: Weights, *more: str | Path) -> Result:
    file = _file(house, weights)
    return _run("release", "publish", "--weights", file, "--folder", house.folder.root, *more)


def test_a_rounds_release_has_its_golden_molecules(released: "House") -> None:
    (manifest,) = _manifests(released)
    content = (released.folder.objects / str(manifest.golden_sha256)).read_bytes()
    assert len(content) == manifest.golden_bytes
    assert Golden.parse(content).heads == manifest.heads


def test_good_weights_become_the_next_release(released: "House") -> None:
    weights = _weights(released)
    weights["head.logd.bias"] += 0.5
    assert _publish(released, weights).output == "Published release-2.\n"
    first, second = _manifests(released)
    assert (second.version, second.round_id, second.plan_id) == (2, first.round_id, "p1")
    assert second.golden_sha256 not in {None, first.golden_sha256}
    status = json.loads(_run("status", "--json", "--folder", released.folder.root).output)
    assert [one["release_id"] for one in status["releases"]] == ["release-1", "release-2"]
    told = _run("status", "--folder", released.folder.root).output
    assert "release release-2 p1.r1.a1: no verdict" in told


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_bad_weights_are_refused_unless_it_is_a_rehearsal(released: "House", value: float) -> None:
    weights = _weights(released)
    weights["trunk.dense.bias"][0] = value
    refused = _publish(released, weights)
    assert refused.exit_code == EXIT_FAILED
    assert "not_finite" in refused.output or "absurd_weights" in refused.output
    assert len(_manifests(released)) == 1
    assert _publish(released, weights, "--unchecked").exit_code == 0
    assert _manifests(released)[-1].golden_sha256 is None


def test_wrong_golden_answers_are_refused_unless_it_is_a_rehearsal(
    released: "House", tmp_path: Path
) -> None:
    weights, file = _weights(released), tmp_path / "golden.json"
    made = ("--weights", _file(released, weights), "--folder", released.folder.root)
    assert _run("release", "golden", "--output", file, *made).exit_code == 0
    assert _publish(released, weights, "--golden", file).exit_code == 0
    golden = Golden.parse(file.read_bytes())
    wrong = golden.model_copy(update={"expected": golden.expected[::-1]})
    file.write_bytes(wrong.to_bytes())
    refused = _publish(released, weights, "--golden", file)
    assert (refused.exit_code, "wrong_golden" in refused.output) == (EXIT_FAILED, True)
    assert _publish(released, weights, "--golden", file, "--unchecked").exit_code == 0
    named = str(_manifests(released)[-1].golden_sha256)
    assert (released.folder.objects / named).read_bytes() == wrong.to_bytes()
    file.write_bytes(b" " * (2 << 20))
    long = _publish(released, weights, "--golden", file, "--unchecked")
    assert (long.exit_code, "at most" in long.output) == (EXIT_FAILED, True)


def test_what_cannot_be_published_is_said(released: "House", house: "House") -> None:
    weights = _weights(released)
    unknown = _publish(released, weights, "--plan", "p9")
    assert (unknown.exit_code, "unknown_plan" in unknown.output) == (EXIT_FAILED, True)
    assert _publish(released, weights, "--plan", "p1").exit_code == 0
    nowhere = ("--weights", "nowhere", "--folder", house.folder.root)
    assert _run("release", "publish", *nowhere).exit_code == EXIT_STOP


def test_before_the_first_round_there_is_nothing_to_publish(house: "House") -> None:
    path = house.folder.root.parent / "weights"
    path.write_bytes(b"")
    result = _run("release", "publish", "--weights", path, "--folder", house.folder.root)
    assert (result.exit_code, "no_round" in result.output) == (EXIT_FAILED, True)
