"""Attacks that need more than one look: differencing, two models in a round, and lying silos."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from agent.errors import Refused
from agent.wire.masking.history import Past, check_differencing
from agent.wire.masking.prg import add_masks
from agent.wire.masking.quantize import Rounding, dequantize, quantize
from agent.wire.masking.seeds import Binding, RoundSecrets
from agent.wire.masking.terms import MaskRules, bits_for
from agent.wire.network import Weights
from agent.wire.recipe import Aggregation
from agent.wire.robust import combine
from benchmarks.attack_gradients import recovered
from benchmarks.attack_world import COUNTS, Scale, World, added, clipped, delta, error, parted

_BASE, _OTHER = "11" * 32, "22" * 32
_BATCH = 4
_CLIPS = (0.25, MaskRules().clip)  # a wide one, and about what a round moves a weight by
_SCALED = -20.0
_LIARS = 1
_HELD_OUT = 400
_LEARN_ROUNDS = 2
_EPOCHS = 4

Round = Callable[[Sequence[Weights]], Weights]


def differencing(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """Subtracts two sums on one base whose silos differ by one."""
    base, alike, refused = world.start(), [], []
    for seed in range(scale.seeds):
        parts = parted(world.draw(scale.compounds * scale.silos, 500 + seed), scale.silos)
        updates = [
            delta(world.trained(base, part, scale.epochs, seed * 100 + place), base)
            for place, part in enumerate(parts)
        ]
        whole, less = added(updates), added(updates[1:])
        alike.append(_cosine(whole[COUNTS] - less[COUNTS], updates[0][COUNTS]))
        refused.append(_refused(scale.silos))
    yield "differencing: cosine of two sums' difference and the silo's update; no rule", alike
    yield "differencing: second sum refused by the rule (share)", refused


def _cosine(one: np.ndarray[tuple[int, ...], np.dtype[np.float32]], other: object) -> float:
    a, b = np.ravel(one).astype(np.float64), np.ravel(np.asarray(other)).astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _refused(silos: int) -> float:
    names = tuple(f"silo-{place}" for place in range(silos))
    done = Past(round_id="r1", base_sha256=_BASE, participants=names, contributors={})
    asked = Past(round_id="r2", base_sha256=_BASE, participants=names[1:], contributors={})
    try:
        check_differencing([done], asked, names, 5)
    except Refused as refusal:
        return float(refusal.code == "differencing")
    return 0.0


def two_models(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """Hands all silos but one a model that learns nothing (Pasquini et al. 2022, "Eluding").

    Dead units have no gradient, so that the sum is the one silo's. Seeds are bound to the base, so
    with ours the masks of that silo do not cancel.
    """
    base, unbound, bound = world.start(), [], []
    dead = {
        name: tensor - np.float32(1e6) if name.endswith("norm.bias") else tensor
        for name, tensor in base.items()
    }
    for seed in range(scale.seeds):
        parts = parted(world.draw(_BATCH * scale.silos, 600 + seed), scale.silos)
        given = [base] + [dead] * (scale.silos - 1)
        gradients = [
            world.gradient(model, part, seed) for model, part in zip(given, parts, strict=True)
        ]
        same = [_BASE] * scale.silos
        unbound.append(recovered(world, _unmasked(gradients, same), parts[0]))
        bound.append(recovered(world, _unmasked(gradients, [_OTHER, *same[1:]]), parts[0]))
    what = f"two models: exact fingerprints of the one silo's {_BATCH}, from the sum"
    yield f"{what}; seeds that know nothing of the model", unbound
    yield f"{what}; seeds bound to it, as ours", bound


def _unmasked(updates: Sequence[Weights], bases: Sequence[str]) -> Weights:
    """Sums under pairwise masks, each silo's seeds bound to the base that it was given."""
    keys = [RoundSecrets.fresh() for _ in updates]
    bits, limit = bits_for(len(updates)), _CLIPS[0]
    result: Weights = {}
    for name in (COUNTS, "trunk.dense.bias"):
        total = np.zeros(updates[0][name].size, dtype=np.uint32)
        for at, (update, base) in enumerate(zip(updates, bases, strict=True)):
            words = np.zeros(total.size, dtype=np.uint32)
            quantize(update[name].reshape(-1), limit, bits, Rounding(), words)
            binding = Binding(f"r-{name}", "33" * 32, base)
            seeds = {
                other: keys[at].pair_seed(keys[other].mask_key, binding, str(at), str(other))
                for other in range(len(updates))
                if other != at
            }
            plus = [seed for other, seed in seeds.items() if other > at]
            add_masks(words, plus, [seed for other, seed in seeds.items() if other < at])
            total += words
        numbers = dequantize(total, limit, bits).astype(np.float32)
        # What rounding leaves of nothing is far below what a compound leaves.
        numbers[np.abs(numbers) < 4 * len(updates) * limit / 2**bits] = 0.0
        result[name] = numbers.reshape(updates[0][name].shape)
    return result


def lying(world: World, scale: Scale) -> Iterator[tuple[str, list[float]]]:
    """Lets one silo of six flip its labels, or scale its update, against each way of averaging."""
    rounds: dict[str, Round] = {
        "mean": _mean,
        **{f"mean, clipped at {limit:g} (masked)": _clip(limit) for limit in _CLIPS},
        **{rule: _rule(rule) for rule in _RULES},
    }
    silos = replace(scale, silos=max(scale.silos + 1, 6))
    for name, take in rounds.items():
        for lie in ("none", "labels flipped", f"update × {_SCALED:g}"):
            runs = [_learned(world, silos, seed, lie, take) for seed in range(min(3, scale.seeds))]
            yield f"one liar of {silos.silos}, {lie}: held-out error; {name}", runs


_RULES: tuple[Aggregation, ...] = ("median", "trimmed_mean", "krum")


def _mean(given: Sequence[Weights]) -> Weights:
    return {name: tensor / np.float32(len(given)) for name, tensor in added(given).items()}


def _clip(limit: float) -> Round:
    return lambda given: _mean([clipped(one, limit) for one in given])


def _rule(rule: Aggregation) -> Round:
    def take(given: Sequence[Weights]) -> Weights:
        weight = {"trunk": 1.0, "head.logp": 1.0}
        return combine([(one, weight) for one in given], rule)

    return take


def _learned(world: World, scale: Scale, seed: int, lie: str, take: Round) -> float:
    rows = world.draw(len(world.features), 700 + seed)
    asked, rest = np.sort(rows[:_HELD_OUT]), rows[_HELD_OUT:]
    parts = parted(rest[: scale.compounds * scale.silos], scale.silos)
    middle = float(np.median(world.values))
    flipped = replace(world, values=(2 * middle - world.values).astype(np.float32))
    weights = world.start()
    for number in range(_LEARN_ROUNDS if scale.seeds > 1 else 1):
        given = []
        for place, own in enumerate(parts):
            liar = place < _LIARS
            teller = flipped if liar and lie == "labels flipped" else world
            seeds = 1_000 * seed + 10 * number + place
            update = delta(teller.trained(weights, own, _EPOCHS, seeds), weights)
            given.append(_scaled(update) if liar and lie.startswith("update") else update)
        step = take(given)
        weights = {name: weights[name] + step[name] for name in weights}
    return error(world, weights, asked)


def _scaled(update: Weights) -> Weights:
    return {name: tensor * np.float32(_SCALED) for name, tensor in update.items()}
