"""What a masked round moves, and what a clip costs: `python -m benchmarks.clip [--json PATH]`.

The demo's compounds at five silos that learn three endpoints by the draft's own recipe, in one
process that averages as the aggregator does: 2 networks trained in turn, 2 local epochs. First how
far a round moves a number of one silo's update; then the error on a fifth of the compounds, held
out everywhere, after rounds in which every silo cuts its update to a clip, and when one of six
silos sends its update times -20. The same seeds with each clip.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from agent.demo.data import Fact, shares
from agent.features.fast import Featurizer
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.learning.score import predict, score_tasks
from agent.learning.settings import Settings
from agent.learning.tasks import Labels, TaskSpec
from agent.learning.train import fit
from agent.wire.averaging import Sums, step
from agent.wire.documents import MaskRules, NetworkSpec
from agent.wire.masking.layout import clip_of
from agent.wire.members import member_of_round, of_member, turn_of_round
from agent.wire.network import HEAD, Weights, initial_weights
from agent.wire.scale import range_scale
from agent.wire.update import group_of
from benchmarks.report import Row, mean, save, show
from consortium.plans import Draft

_TASKS = (
    TaskSpec("logbb", "regression", *range_scale(-5.0, 5.0)),
    TaskSpec("bbb_class", "classification", 0.0, 1.0),
    TaskSpec("solubility", "regression", *range_scale(-2.0, 13.0)),
)
_COLUMN = {"logbb": 0, "bbb": 1, "log_s": 2}
_SILOS, _MEMBERS = 5, 2
_HELD_OUT = 5
_SCALED = -20.0
_NO_CLIP = MaskRules(clip=1e9, bias_clip=1e9)
Clip = tuple[float, float]
_CLIPS: tuple[Clip, ...] = ((0.25, 100.0), (0.1, 1.0), (0.05, 0.5), (0.02, 0.2), (0.01, 0.1))


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """The silos' labels, those that nobody learns from, and the plan."""

    features: Features
    silos: tuple[Labels, ...]
    held_out: Labels
    draft: Draft
    network: NetworkSpec

    @classmethod
    def public(cls, draft: Draft, silos: int) -> "World":
        """Reads the demo's compounds.

        Raises:
            Stop: A package with the data is not installed.
        """
        given = list(shares(max(silos, _SILOS)).values())
        if silos == 1:
            given = [[fact for own in given for fact in own]]
        parts = [_once(own) for own in given]
        smiles = sorted({fact.smiles for own in parts for fact in own})
        features, _ = Featurizer(default_spec()).featurize_smiles(smiles)
        row = {text: at for at, text in enumerate(smiles) if features.usable[at]}
        known = [[fact for fact in own if fact.smiles in row] for own in parts]
        learned = (_labels([f for f in own if not _is_held_out(f)], row) for own in known)
        asked = [fact for own in known for fact in own if _is_held_out(fact)]
        network = draft.network.model_copy(update={"members": _MEMBERS})
        return cls(features, tuple(learned), _labels(asked, row), draft, network)

    def start(self) -> Weights:
        """Returns the weights that a plan starts from."""
        return initial_weights(self.network, default_spec(), [task.name for task in _TASKS])

    def update(self, base: Weights, silo: Labels, number: int, seed: int) -> Weights:
        """Trains for a round, from 1, as a silo does, and returns what changed."""
        recipe = self.draft.recipe
        turn, turns = turn_of_round(number, recipe.rounds, _MEMBERS)
        run = Settings(
            epochs=recipe.local_epochs,
            batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            seed=seed * 1_009 + number,
            window=(turn / turns, (turn + 1) / turns),
            threads=1,
            device="cpu",
        )
        trained = fit(
            base, self.network.single(), self.features, silo, _TASKS, run, lambda *_: None
        )
        return {name: trained[name] - base[name] for name in base}

    def error(self, members: Sequence[Weights]) -> float:
        """Returns the held-out error, the mean over the endpoints, of the networks' mean."""
        single = self.network.single()
        said = [predict(one, single, self.features, _TASKS) for one in members]
        scores = score_tasks(np.mean(said, axis=0), self.held_out, _TASKS)
        return mean([score.value for score in scores.values() if score.value is not None])


def rounds(world: World, rules: MaskRules, seed: int, liar: int | None = None) -> "Run":
    """Runs the plan's rounds with all updates cut as masking cuts them; each silo counts alike."""
    start = world.start()
    members = [of_member(start, number) for number in range(_MEMBERS)]
    moved = []
    for number in range(1, world.draft.recipe.rounds + 1):
        own, sums = member_of_round(number, _MEMBERS), Sums()
        for place, silo in enumerate(world.silos):
            delta = world.update(members[own], silo, number, seed * 101 + place)
            moved.append(delta)
            if place == liar:
                delta = {name: tensor * np.float32(_SCALED) for name, tensor in delta.items()}
            sums.add(cut(delta, rules), dict.fromkeys({group_of(name) for name in delta}, 1.0))
        members[own], _ = step(members[own], sums.mean(), {}, 0.0)
    return Run(members, moved)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Networks after the last round, and every silo's update on the way."""

    members: list[Weights]
    moved: list[Weights]

    def quantiles(self, *, biases: bool) -> npt.NDArray[np.float64]:
        """Returns by how much the updates move a number: 99 %, 99.99 %, and the most.

        Args:
            biases: Of the heads; or of all other tensors.
        """
        chosen = [
            np.abs(tensor).ravel()
            for update in self.moved
            for name, tensor in update.items()
            if (name.startswith(HEAD) and name.endswith(".bias")) is biases
        ]
        found: npt.NDArray[np.float64] = np.quantile(np.concatenate(chosen), (0.99, 0.9999, 1.0))
        return found


def cut(update: Weights, rules: MaskRules) -> Weights:
    """Cuts each number to its clip, as masking does at the silo."""
    return {
        name: np.clip(tensor, -clip_of(name, rules), clip_of(name, rules))
        for name, tensor in update.items()
    }


def moved_rows(world: World, seeds: int) -> Iterator[Row]:
    """Measures how far a round moves one number of one silo's update."""
    runs = [rounds(world, _NO_CLIP, seed) for seed in range(seeds)]
    compounds = max(len(np.unique(silo.rows)) for silo in world.silos)
    size = f"{len(world.silos)} silos of up to {compounds:,} compounds"
    for what, biases in (("a weight", False), ("a head's bias", True)):
        found = np.array([run.quantiles(biases=biases) for run in runs])
        for name, column in (("99 %", 0), ("99.99 %", 1), ("the most", 2)):
            values = found[:, column].tolist()
            yield Row(f"a round moves {what}, {name}; {size}", mean(values), "", runs=values)


def clip_rows(world: World, seeds: int) -> Iterator[Row]:
    """Measures the error with each clip, and with no clip, by the same seeds."""
    for name, rules in _all_rules():
        errors = [world.error(rounds(world, rules, seed).members) for seed in range(seeds)]
        yield Row(f"held-out error, {name}", mean(errors), "", runs=errors)


def liar_rows(world: World, seeds: int) -> Iterator[Row]:
    """Measures the same with a liar among the silos."""
    for name, rules in _all_rules():
        errors = [world.error(rounds(world, rules, seed, 0).members) for seed in range(seeds)]
        what = f"held-out error, {name}; one liar of {len(world.silos)}, update × {_SCALED:g}"
        yield Row(what, mean(errors), "", runs=errors)


def _all_rules() -> Iterator[tuple[str, MaskRules]]:
    yield "no clip", _NO_CLIP
    for clip, bias_clip in _CLIPS:
        yield f"clip {clip:g}, biases {bias_clip:g}", MaskRules(clip=clip, bias_clip=bias_clip)


def _once(facts: Sequence[Fact]) -> list[Fact]:
    """Returns one measurement of each compound for a task."""
    known = {(one.smiles, one.property): one for one in facts if one.property in _COLUMN}
    return list(known.values())


def _labels(facts: Sequence[Fact], row: dict[str, int]) -> Labels:
    cols = np.array([_COLUMN[fact.property] for fact in facts], np.int64)
    values = np.array([_value(fact) for fact in facts], np.float32)
    rows = np.array([row[fact.smiles] for fact in facts], np.int64)
    return Labels(rows, cols, values, np.zeros(len(facts), np.int8))


def _value(fact: Fact) -> float:
    if fact.property == "bbb":
        return float(fact.value == "BBB+")
    return -float(fact.value) if fact.property == "log_s" else float(fact.value)


def _is_held_out(fact: Fact) -> bool:
    return hashlib.sha256(fact.smiles.encode()).digest()[0] % _HELD_OUT == 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, and writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clip", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="Tiny: only tells whether it runs.")
    parser.add_argument("--json", type=Path, help="Write the rows here.")
    chosen = parser.parse_args(arguments)
    draft = Draft(plan_id="clip")
    if chosen.quick:
        draft = draft.adjusted(2, None, None)
    console, found = Console(width=140), list[Row]()
    parts = ((1, moved_rows), (_SILOS, moved_rows), (_SILOS, clip_rows), (_SILOS + 1, liar_rows))
    for silos, part in parts:
        for one in part(World.public(draft, silos), 1 if chosen.quick else chosen.seeds):
            found.append(one)
            console.print(f"{one.name}: {one.value:.4g}", highlight=False)
            if chosen.json:
                save(found, chosen.json)
    show(found, console)


if __name__ == "__main__":
    main()
