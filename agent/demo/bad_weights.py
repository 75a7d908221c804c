"""Bad releases, made from the last good one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from agent.demo.parties import ask
from agent.wire.golden import Golden
from agent.wire.update import Weights, decode_some, encode

_SEED = 7
_NOISE = 3.0  # of a tensor's own deviation


@dataclass(frozen=True, slots=True)
class Bad:
    """One bad release.

    Attributes:
        name: What is wrong with it, for people.
        spoil: Makes its weights from the last release's.
        reason: The class of reason that every silo must give.
        golden: Whether it comes with golden answers that are not its own.
        crashes: Whether every process that loads it is killed.
        unchecked: Whether the consortium's own checks would keep it back.
    """

    name: str
    spoil: Callable[[Weights], Weights]
    reason: Literal["worse", "does_not_load", "wrong_golden", "bad_weights"]
    golden: bool = False
    crashes: bool = False
    unchecked: bool = False


def noised(weights: Weights) -> Weights:
    """Returns weights that have forgotten what they learned."""
    random = np.random.default_rng(_SEED)
    return {
        name: tensor
        + random.normal(0, _NOISE * float(tensor.std()) + 0.1, tensor.shape).astype(np.float32)
        for name, tensor in sorted(weights.items())
    }


def with_nan(weights: Weights) -> Weights:
    """Returns weights with a single NaN among millions of numbers."""
    name = "trunk.counts.weight"
    spoilt = weights[name].copy()
    spoilt[-1, -1] = np.nan
    return {**weights, name: spoilt}


def nearly(share: float) -> Callable[[Weights], Weights]:
    """Returns a maker of weights that are as good as the last ones and yet other bytes."""

    def make(weights: Weights) -> Weights:
        return {name: np.asarray(tensor * np.float32(share)) for name, tensor in weights.items()}

    return make


BAD = (
    Bad("worse on the silo's data", noised, "worse"),
    Bad("killed whenever it is loaded", nearly(1.0001), "does_not_load", crashes=True),
    Bad("wrong golden answers", nearly(0.9999), "wrong_golden", golden=True, unchecked=True),
    Bad("NaN in its weights", with_nan, "bad_weights", unchecked=True),
)


def publish(bad: Bad, good: Path, aggregator: Path, folder: Path) -> str:
    """Lets the operator publish a bad release, and returns its id.

    Args:
        bad: Which.
        good: The weights of the last release.
        aggregator: The aggregator's folder.
        folder: For the files that are published.

    Raises:
        OnggiError: The operator's command failed.
    """
    path = folder / f"{bad.reason}.safetensors"
    path.write_bytes(encode(bad.spoil(decode_some(good.read_bytes()))))
    more = ["--unchecked"] if bad.unchecked else []
    common = ("--weights", str(path), "--folder", str(aggregator))
    if bad.golden:
        golden = folder / f"{bad.reason}.golden.json"
        ask("consortium", "release", "golden", "--output", str(golden), *common)
        golden.write_bytes(_wrong(Golden.parse(golden.read_bytes())).to_bytes())
        more += ["--golden", str(golden)]
    said = ask("consortium", "release", "publish", *common, *more)
    return said.split()[1].rstrip(".")


def _wrong(golden: Golden) -> Golden:
    answers = tuple(tuple(answer + 0.5 for answer in row) for row in golden.expected)
    return golden.model_copy(update={"expected": answers})
