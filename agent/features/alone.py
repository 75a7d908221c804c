"""Crippen's sums of one molecule, from what its atoms' surroundings were found to be before.

A class depends on an atom, its neighbours and, for an oxygen, on theirs (`agent.features.crippen`).
Drugs have some thousands of such surroundings; looking each atom's up takes a third of the time
that RDKit's patterns take, which are what a single molecule would cost most.
"""

from collections.abc import Sequence

import numpy as np

from agent.features.crippen import WORTH, classified
from agent.features.graph import ALIPHATIC, AROMATIC_KIND, KINDS, ORDERS, Drawn, Graph

_MOST_KNOWN = 50_000  # some 20 MB; then it begins anew
_WORTH: list[list[float]] = WORTH.tolist()
_ALIPHATIC: list[int] = ALIPHATIC.tolist()
_AROMATIC: list[int] = AROMATIC_KIND.tolist()
_AROMATIC_BOND = 1.5
_CODES = {order: place * len(KINDS) for place, order in enumerate(ORDERS.tolist())}
_STRANGE = 1_000  # a bond that no usual molecule has
_CARBON, _OXYGEN = KINDS.index("C"), KINDS.index("O")

Surroundings = tuple[object, ...]


class Remembering:
    """Sums up one molecule after the other; it belongs to one thread."""

    def __init__(self) -> None:
        self._known: dict[Surroundings, tuple[int, int]] = {}

    def crippen(self, one: Drawn) -> tuple[float, float] | None:
        """Returns logP and molar refractivity, the same bits as `crippen.crippen` gives.

        Returns:
            None for a molecule that is not `usual`, which only RDKit's patterns can do.
        """
        around = surroundings(one)
        known = self._known
        if not all(map(known.__contains__, around)) and not self._learn(one, around):
            return None
        classes = [known[key] for key in around]
        logp = refractivity = 0.0
        for place, _ in classes:
            worth = _WORTH[place]
            logp += worth[0]
            refractivity += worth[1]
        for (_, place), (_, hydrogens, _) in zip(classes, one.atoms, strict=True):
            worth = _WORTH[place]
            for _ in range(hydrogens):  # one by one: the order of a sum makes its last bit
                logp += worth[0]
                refractivity += worth[1]
        return logp, refractivity

    def _learn(self, one: Drawn, around: Sequence[Surroundings]) -> bool:
        graph = Graph.join([one])
        if not graph.usual[0]:
            return False
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        classes, of_hydrogens = classified(graph)
        pairs = zip(classes.tolist(), of_hydrogens.tolist(), strict=True)
        self._known.update(zip(around, pairs, strict=True))
        return True


def surroundings(one: Drawn) -> list[Surroundings]:
    """Returns for each atom all that its class, and whether it is usual, can depend on."""
    sources, targets = np.nonzero(one.orders)
    bonds = list(
        zip(sources.tolist(), targets.tolist(), one.orders[sources, targets].tolist(), strict=True)
    )
    aromatic = {source for source, _, order in bonds if order == _AROMATIC_BOND}
    kinds = [
        (_AROMATIC if atom in aromatic else _ALIPHATIC)[species]
        for atom, (species, _, _) in enumerate(one.atoms)
    ]
    beside: list[list[int]] = [[] for _ in kinds]
    for source, target, order in bonds:
        beside[source].append(_CODES.get(order, _STRANGE) + kinds[target])
    near = [
        (kind, *atom, *sorted(codes))
        for kind, atom, codes in zip(kinds, one.atoms, beside, strict=True)
    ]
    found: list[Surroundings] = list(near)
    for source, target, _ in bonds:
        if kinds[source] == _OXYGEN and kinds[target] == _CARBON:
            found[source] = (found[source], near[target])
    return found
