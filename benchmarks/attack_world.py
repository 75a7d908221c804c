"""What the attacks are tried on: public compounds, silos, and the networks that we ship.

The compounds are the demo's (B3DB, Huuskonen, FreeSolv), so that it runs from a clean clone; a
silo's task is a regression on the whole. Training is the product's own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from agent.demo.data import facts
from agent.features.fast import Featurizer
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.learning.batches import to_batch
from agent.learning.losses import Targets, masked_loss
from agent.learning.network import SparseTrunk
from agent.learning.private import fit_private
from agent.learning.settings import Settings
from agent.learning.tasks import Labels, TaskSpec
from agent.learning.train import fit
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.masking.prg import add_masks
from agent.wire.masking.quantize import Rounding, quantize
from agent.wire.masking.terms import MaskRules, bits_for
from agent.wire.network import Weights, initial_weights
from benchmarks.noisy import Noise

COUNTS = "trunk.counts.weight"
TASK = TaskSpec("logp", "regression", 2.0, 2.0)
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_CLOGP = "CrippenClogP"


def spec_of(hash_size: int) -> FeatureSpec:
    """Returns the default features, folded to so many columns."""
    return default_spec().model_copy(update={"hash_size": hash_size})


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Compounds with one measured value each.

    Attributes:
        features: One row a compound.
        values: float32 (n,).
        spec: What the features mean.
        network: Whose gradients, updates and releases are attacked.
    """

    features: Features
    values: npt.NDArray[np.float32]
    spec: FeatureSpec
    network: NetworkSpec

    @classmethod
    def public(cls, hash_size: int, hidden: tuple[int, ...], most: int) -> "World":
        """Reads the demo's compounds, the same ones whatever the hash size.

        Raises:
            Stop: A package with the data is not installed.
        """
        spec = spec_of(hash_size)
        smiles = list(dict.fromkeys(fact.smiles for fact in facts()))
        order = np.random.default_rng(5).permutation(len(smiles))[:most]
        found, _ = Featurizer(spec).featurize_smiles([smiles[at] for at in order])
        return cls.of(found.take(np.flatnonzero(found.usable)), spec, hidden)

    @classmethod
    def of(cls, features: Features, spec: FeatureSpec, hidden: tuple[int, ...]) -> "World":
        """Gives each compound a value: Crippen's logP and noise, as an assay has.

        The attacks need labels that a network partly learns and partly has to remember; these are
        the same whichever of the public sets a compound came from.
        """
        names = [one.name for one in spec.descriptors]
        logp = features.dense[:, names.index(_CLOGP)] * 1.4 + 3.2
        noise = np.random.default_rng(6).normal(0.0, 0.6, len(features))
        return cls(
            features,
            (logp + noise).astype(np.float32),
            spec,
            NetworkSpec(hidden=hidden, dropout=0.2, seed=1),
        )

    def start(self) -> Weights:
        """Returns the weights that a plan starts from."""
        return initial_weights(self.network, self.spec, [TASK.name])

    def labels(self, rows: Ints) -> Labels:
        """Returns the values of the given rows."""
        zeros = np.zeros(len(rows), np.int64)
        return Labels(rows, zeros, self.values[rows], zeros.astype(np.int8))

    def trained(self, base: Weights, rows: Ints, epochs: int, seed: int) -> Weights:
        """Trains on some compounds as a silo does in a round."""
        run = Settings(epochs=epochs, seed=seed, threads=1, device="cpu")
        found = self.labels(np.sort(rows))
        return fit(base, self.network, self.features, found, [TASK], run, lambda *_: None)

    def noisy(self, base: Weights, rows: Ints, noise: Noise, number: int, seed: int) -> Weights:
        """Trains on some compounds as a silo does in a round of a plan with noise."""
        own = self.features.take(np.sort(rows))
        found = replace(self.labels(np.sort(rows)), rows=np.arange(len(rows)))
        settings = replace(noise.settings(number, seed), seed=seed)
        return fit_private(
            base, self.network, own, found, [TASK], settings, noise.terms(), lambda *_: None
        ).weights

    def gradient(self, weights: Weights, rows: Ints, seed: int) -> Weights:
        """Returns one batch's gradient of the training loss, dropout included."""
        rows = np.sort(rows)
        model = SparseTrunk(self.network, weights, [TASK.name])
        model.train()
        model.dropout.reseed(seed)
        cpu = torch.device("cpu")
        targets = Targets.build(
            self.labels(np.arange(len(self.features))), [TASK], len(self.features)
        )
        outputs = model(to_batch(self.features.take(rows), cpu, self.spec.hash_size))
        loss = masked_loss(outputs, targets.take(rows, cpu), len(rows))
        loss.backward()  # type: ignore[no-untyped-call]
        return {
            name: np.zeros_like(weights[name]) if tensor.grad is None else tensor.grad.numpy()
            for name, tensor in model.by_name().items()
        }

    def said(self, weights: Weights, rows: Ints) -> Doubles:
        """Returns the answers for some compounds, on the values' scale."""
        model = SparseTrunk(self.network, weights, [TASK.name])
        model.eval()
        with torch.inference_mode():
            outputs = model(to_batch(self.features.take(rows), torch.device("cpu")))
        scaled: Doubles = outputs[:, 0].numpy().astype(np.float64)
        return scaled * TASK.spread + TASK.centre

    def counts(self, rows: Ints) -> npt.NDArray[np.float32]:
        """Returns the rows' counts, float32 (n, hash size)."""
        return self.features.take(rows).dense_counts(self.spec.hash_size)

    def draw(self, size: int, seed: int) -> Ints:
        """Returns some compounds, by chance."""
        return np.random.default_rng(seed).permutation(len(self.features))[:size]


def error(world: World, weights: Weights, rows: Ints) -> float:
    """Returns the mean absolute error on some compounds."""
    return float(np.abs(world.said(weights, rows) - world.values[rows]).mean())


def delta(after: Weights, before: Weights) -> Weights:
    """Returns what training changed."""
    return {name: after[name] - before[name] for name in before}


def added(updates: Sequence[Weights]) -> Weights:
    """Returns the sum, which is all that masks leave."""
    return {name: np.sum([one[name] for one in updates], axis=0) for name in updates[0]}


def clipped(update: Weights, limit: float) -> Weights:
    """Cuts each number to the clip, as masking does at the silo."""
    return {name: np.clip(tensor, -limit, limit) for name, tensor in update.items()}


def masked(update: Weights, silos: int) -> Weights:
    """Returns what the aggregator holds of one silo: ring elements under its masks."""
    chance, rules = Rounding(), MaskRules()
    result: Weights = {}
    for name, tensor in update.items():
        words = np.zeros(tensor.size, dtype=np.uint32)
        quantize(tensor.reshape(-1), rules.clip, bits_for(silos), chance, words)
        add_masks(words, [np.random.default_rng().bytes(32)], [])
        result[name] = (
            (words.view(np.int32).astype(np.float64) * 2.0**-31)
            .astype(np.float32)
            .reshape(tensor.shape)
        )
    return result


def private(world: World, weights: Weights, rows: Ints, noise: float, seed: int) -> Weights:
    """Returns a DP-SGD step's sum: each compound's gradient cut to norm 1, and Gaussian noise.

    Args:
        world: The compounds.
        weights: Where the gradients are taken.
        rows: The batch.
        noise: Its standard deviation, in clips. numpy's: an attack needs no cryptographic one.
        seed: Of the noise.
    """
    each = [_unit(world.gradient(weights, rows[at : at + 1], seed)) for at in range(len(rows))]
    chance = np.random.default_rng(seed)
    return {
        name: tensor + chance.normal(0.0, noise, tensor.shape).astype(np.float32)
        for name, tensor in added(each).items()
    }


def _unit(gradient: Weights) -> Weights:
    norm = float(
        np.sqrt(sum(float((one.astype(np.float64) ** 2).sum()) for one in gradient.values()))
    )
    return {name: one / np.float32(max(norm, 1.0)) for name, one in gradient.items()}


def parted(rows: Ints, silos: int) -> list[Ints]:
    """Parts compounds among silos."""
    return [np.sort(part) for part in np.array_split(rows, silos)]


Attack = Callable[[World, "Scale"], Iterator[tuple[str, list[float]]]]


@dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is.

    Attributes:
        seeds: Of every attack; the intervals are over them.
        silos: In a round.
        compounds: Of one silo.
        epochs: Of one round's training.
        shadows: Models of the membership attack.
        rounds: Of the release.
    """

    seeds: int = 5
    silos: int = 5
    compounds: int = 400
    epochs: int = 2
    shadows: int = 16
    rounds: int = 4

    @classmethod
    def quick(cls) -> "Scale":
        """Returns one that only tells whether it runs."""
        return replace(cls(), seeds=1, silos=3, compounds=16, shadows=4, rounds=1)
