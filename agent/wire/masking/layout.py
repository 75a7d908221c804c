"""Which ring element is which number: the same for every silo of a round and for the aggregator.

The groups of tensors that enough silos train, in name order: each tensor's w * delta in C order,
then one word for each group's w. A silo that does not train a group puts zeros there, which its
masks make look like anything else.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.wire.averaging import Sums
from agent.wire.masking.prg import Words
from agent.wire.masking.quantize import Rounding, dequantize, quantize
from agent.wire.masking.terms import MaskRules
from agent.wire.members import bare
from agent.wire.network import HEAD
from agent.wire.update import Shapes, Weights, group_of


@dataclass(frozen=True, slots=True)
class Field:
    """One tensor's, or one weight's, place in the vector.

    Attributes:
        name: The tensor; or the group, for its weight.
        start, end: In words.
        limit: What the largest magnitude stands for.
    """

    name: str
    start: int
    end: int
    limit: float


@dataclass(frozen=True, slots=True)
class Update:
    """What one silo trained, by tensor and by group, as `agent.wire.update.unpack` gives it.

    Attributes:
        products: w * delta.
        weight: w by group, in (0, cap].
    """

    products: Weights
    weight: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Layout:
    """The places of a round's vector."""

    shapes: Shapes
    groups: tuple[str, ...]
    tensors: tuple[Field, ...]
    weights: tuple[Field, ...]
    bits: int

    @property
    def words(self) -> int:
        """How many ring elements the vector has."""
        return self.weights[-1].end if self.weights else 0

    @classmethod
    def of(
        cls, shapes: Shapes, groups: Collection[str], rules: MaskRules, bits: int, cap: float
    ) -> "Layout":
        """Lays the chosen groups out.

        Args:
            shapes: Every shared tensor and its shape.
            groups: Those that enough silos train.
            rules: The plan's.
            bits: Of a summand's magnitude.
            cap: The recipe's `weight_cap`.
        """
        place, tensors, weights = 0, [], []
        for name in sorted(name for name in shapes if group_of(name) in groups):
            end = place + math.prod(shapes[name])
            tensors.append(Field(name, place, end, cap * clip_of(name, rules)))
            place = end
        for group in sorted(groups):
            weights.append(Field(group, place, place + 1, cap))
            place += 1
        return cls(shapes, tuple(sorted(groups)), tuple(tensors), tuple(weights), bits)

    def write(
        self, update: Update, mine: Collection[str], chance: Rounding, noise: float = 0.0
    ) -> tuple[Words, int]:
        """Writes an update as ring elements, and zeros for the groups that are not `mine`.

        Args:
            update: What was trained.
            mine: The groups that it is written of.
            chance: Decides what is rounded up, and draws the noise.
            noise: Standard deviation of what is added to every number of a tensor, also of groups
                that are not `mine`, in ring elements. Weights get none: they are 1 or 0, and the
                upload says which.

        Returns:
            The vector, and how many numbers were cut to their clip.

        Raises:
            Refused: `wrong_tensors`, or `not_finite`.
        """
        vector = np.zeros(self.words, dtype=np.uint32)
        cut = 0
        for field in self.tensors:
            if group_of(field.name) in mine or noise:
                flat = self._numbers(update, field, mine)
                out = vector[field.start : field.end]
                cut += quantize(flat, field.limit, self.bits, chance, out, noise)
        for field in self.weights:
            if field.name in mine:
                weight = np.asarray([update.weight[field.name]], dtype=np.float32)
                out = vector[field.start : field.end]
                cut += quantize(weight, field.limit, self.bits, chance, out)
        return vector, cut

    def _numbers(
        self, update: Update, field: Field, mine: Collection[str]
    ) -> npt.NDArray[np.float32]:
        if group_of(field.name) not in mine:
            return np.zeros(field.end - field.start, dtype=np.float32)
        tensor = update.products.get(field.name)
        if tensor is None or tensor.shape != self.shapes[field.name]:
            raise Refused("wrong_tensors", f"The update lacks tensor {field.name!r}.")
        return np.ascontiguousarray(tensor, dtype=np.float32).reshape(-1)

    def read(self, vector: Words) -> Sums:
        """Reads a sum of such vectors; a group whose weights sum to nothing is left out."""
        weights = {
            field.name: float(
                dequantize(vector[field.start : field.end], field.limit, self.bits)[0]
            )
            for field in self.weights
        }
        trained = {group: weight for group, weight in weights.items() if weight > 0}
        products = {
            field.name: dequantize(vector[field.start : field.end], field.limit, self.bits).reshape(
                self.shapes[field.name]
            )
            for field in self.tensors
            if group_of(field.name) in trained
        }
        return Sums(products, trained)


def clip_of(name: str, rules: MaskRules) -> float:
    """Returns the largest change of a number of this tensor."""
    return rules.bias_clip if bare(name).startswith(HEAD) and name.endswith(".bias") else rules.clip
