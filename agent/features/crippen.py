"""Crippen's logP and molar refractivity, of many molecules at once, to the last bit as RDKit's.

Atoms are classified as Wildman and Crippen do (1999, J. Chem. Inf. Comput. Sci. 39, 868), by the
patterns that RDKit has built in, in their order; a class is named here as there. RDKit matches 110
patterns against each molecule with all of its hydrogens, which takes longer than reading it; here
each pattern is a comparison of counts of neighbours, over all atoms of a batch.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from agent.features.graph import (
    AROMATIC,
    DOUBLE,
    KINDS,
    SINGLE,
    TRIPLE,
    Bools,
    Graph,
    Ints,
)

Doubles = npt.NDArray[np.float64]

# logP and molar refractivity; what RDKit's table leaves blank is 0.
_CLASSES: dict[str, tuple[float, float]] = {
    "C1": (0.1441, 2.503),
    "C2": (0.0, 2.433),
    "C3": (-0.2035, 2.753),
    "C4": (-0.2051, 2.731),
    "C5": (-0.2783, 5.007),
    "C6": (0.1551, 3.513),
    "C7": (0.0017, 3.888),
    "C8": (0.08452, 2.464),
    "C9": (-0.1444, 2.412),
    "C10": (-0.0516, 2.488),
    "C11": (0.1193, 2.582),
    "C12": (-0.0967, 2.576),
    "C14": (0.0, 3.257),
    "C15": (0.245, 3.564),
    "C16": (0.198, 3.18),
    "C17": (0.0, 3.104),
    "C18": (0.1581, 3.35),
    "C19": (0.2955, 4.346),
    "C20": (0.2713, 3.904),
    "C21": (0.136, 3.509),
    "C22": (0.4619, 4.067),
    "C23": (0.5437, 3.853),
    "C24": (0.1893, 2.673),
    "C25": (-0.8186, 3.135),
    "C26": (0.264, 4.305),
    "CS": (0.08129, 3.243),
    "H1": (0.123, 1.057),
    "H2": (-0.2677, 1.395),
    "H3": (0.2142, 0.9627),
    "H4": (0.298, 1.805),
    "HS": (0.1125, 1.112),
    "N1": (-1.019, 2.262),
    "N2": (-0.7096, 2.173),
    "N3": (-1.027, 2.827),
    "N4": (-0.5188, 3.0),
    "N5": (0.08387, 1.757),
    "N6": (0.1836, 2.428),
    "N7": (-0.3187, 1.839),
    "N8": (-0.4458, 2.819),
    "N9": (0.01508, 1.725),
    "N10": (-1.95, 0.0),
    "N11": (-0.3239, 2.202),
    "N12": (-1.119, 0.0),
    "N13": (-0.3396, 0.2604),
    "N14": (0.2887, 3.359),
    "NS": (-0.4806, 2.134),
    "O1": (0.1552, 1.08),
    "O2": (-0.2893, 0.8238),
    "O3": (-0.0684, 1.085),
    "O4": (-0.4195, 1.182),
    "O5": (0.0335, 3.367),
    "O6": (-0.3339, 0.7774),
    "O12": (-1.326, 0.0),
    "O7": (-1.189, 0.0),
    "O8": (0.1788, 3.135),
    "O9": (-0.1526, 0.0),
    "O10": (0.1129, 0.2215),
    "O11": (0.4833, 0.389),
    "OS": (-0.1188, 0.6865),
    "F": (0.4202, 1.108),
    "Cl": (0.6895, 5.853),
    "Br": (0.8456, 8.927),
    "I": (0.8857, 14.02),
    "S2": (-0.0024, 7.365),
    "S1": (0.6482, 7.591),
    "S3": (0.6237, 6.691),
}
_PLACE = {name: place for place, name in enumerate(_CLASSES)}
WORTH = np.array(list(_CLASSES.values()))


# Sets of kinds as SMARTS has them: "A" is any aliphatic atom, "a" any aromatic one, "*" any.
_A, _a = KINDS[:8], KINDS[8:]
_ANY = KINDS
_NO_CARBON = tuple(kind for kind in KINDS if kind not in "Cc")
_POLAR = ("N", "O", "S", "F", "Cl", "Br", "I")
_HALOGENS = ("F", "Cl", "Br", "I")

_Rule = tuple[str, Bools]


def crippen(graph: Graph) -> Doubles:
    """Returns logP and molar refractivity of each molecule, float64 (molecules, 2)."""
    classes, of_hydrogens = classified(graph)
    # Each molecule's atoms, then its hydrogens: RDKit's order, and bincount adds in order, too.
    owner = np.concatenate([graph.molecule, np.repeat(graph.molecule, graph.hydrogens)])
    worth = WORTH[np.concatenate([classes, np.repeat(of_hydrogens, graph.hydrogens)])]
    sums = [np.bincount(owner, worth[:, column], len(graph.usual)) for column in (0, 1)]
    return np.stack(sums, axis=1)


class _Atoms:
    """Some atoms of a graph: their neighbours by kind, hydrogens, charge and connections."""

    def __init__(self, graph: Graph, own: Ints) -> None:
        self._by = graph.neighbours[:, :, own]
        self._single_or_aromatic = self._by[SINGLE] + self._by[AROMATIC]
        self.h, self.q = graph.hydrogens[own], graph.charge[own]
        self.x = graph.degree[own] + self.h

    def u(self, *kinds: str) -> Ints:
        """Returns how many of these it has by a bond that SMARTS leaves out: single or aromatic."""
        return _summed(self._single_or_aromatic, kinds)

    def by(self, order: int, *kinds: str) -> Ints:
        """Returns how many of these it has by a bond of one order."""
        return _summed(self._by[order], kinds)


def _summed(counts: Ints, kinds: Sequence[str]) -> Ints:
    places = [KINDS.index(kind) for kind in kinds]
    summed: Ints = counts[places[0]] if len(places) == 1 else counts[places].sum(axis=0)
    return summed


def classified(graph: Graph) -> tuple[Ints, Ints]:
    """Returns each atom's class and that of its hydrogens, as places in `WORTH`."""
    found = np.full(len(graph.kind), _PLACE["CS"])
    of_hydrogens = np.full(len(graph.kind), _PLACE["H1"])
    for name, rules in _BY_KIND.items():
        own = np.flatnonzero(graph.kind == KINDS.index(name))
        if len(own):
            atoms = _Atoms(graph, own)
            for place, (classes, default) in zip(
                (found, of_hydrogens), rules(graph, own, atoms), strict=True
            ):
                place[own] = _first(classes, default, len(own))
    return found, of_hydrogens


def _first(rules: Sequence[_Rule], default: str, atoms: int) -> Ints:
    """Returns the class of the first rule that holds of each atom."""
    found = np.full(atoms, _PLACE[default])
    for name, holds in reversed(rules):
        found[holds] = _PLACE[name]
    return found


_Both = tuple[tuple[list[_Rule], str], tuple[list[_Rule], str]]


def _aliphatic_carbon(_graph: Graph, _own: Ints, a: _Atoms) -> _Both:
    h, x4 = a.h, a.x == 4
    carbons, polar, plain, ring = a.u("C"), a.u(*_POLAR) > 0, a.u(*_A), a.u(*_a)
    ethene = a.by(DOUBLE, "C")
    rules = [
        ("C1", (h == 4) | ((h == 3) & (carbons >= 1)) | ((h == 2) & (carbons >= 2))),
        ("C2", ((h == 1) & (carbons >= 3)) | (carbons >= 4)),
        ("C3", polar & ((h == 3) | ((h == 2) & x4 & (plain >= 2)))),
        ("C4", polar & x4 & (((h == 1) & (plain >= 3)) | ((h == 0) & (plain >= 4)))),
        ("C5", a.by(DOUBLE, *_A) > ethene),
        ("C6", (ethene >= 1) & ((h == 2) | ((h == 1) & (plain >= 1)) | ((h == 0) & (plain >= 2)))),
        ("C6", ethene >= 2),
        ("C7", (a.x == 2) & (a.by(TRIPLE, *_A) >= 1)),
        ("C8", (h == 3) & (a.u("c") >= 1)),
        ("C9", (h == 3) & (ring >= 1)),
        ("C10", (h == 2) & x4 & (ring >= 1)),
        ("C11", (h == 1) & x4 & (ring >= 1)),
        ("C12", (h == 0) & x4 & (ring >= 1)),
        ("C26", (ethene >= 1) & (ring >= 1) & ((plain >= 1) | (h == 1))),
        ("C26", (ethene >= 1) & (ring >= 2) & (a.u("c") >= 1)),
        ("C26", a.by(DOUBLE, "c") >= 1),
    ]
    return (rules, "CS"), ([], "H1")


def _aromatic_carbon(_graph: Graph, _own: Ints, a: _Atoms) -> _Both:
    two = a.by(AROMATIC, *_a) >= 2
    halogens = [(name, a.u(kind) >= 1) for name, kind in zip(_C_X, _HALOGENS, strict=True)]
    rules = [
        *halogens,
        ("C18", a.h == 1),
        ("C19", a.by(AROMATIC, *_a) >= 3),
        ("C20", two & (a.by(SINGLE, *_a) >= 1)),
        *((name, two & (a.by(SINGLE, kind) >= 1)) for name, kind in _C_Y),
        ("C25", two & (a.by(DOUBLE, "C", "N", "O") >= 1)),
    ]
    return (rules, "CS"), ([], "H1")


_C_X = ("C14", "C15", "C16", "C17")
_C_Y = (("C21", "C"), ("C22", "N"), ("C23", "O"), ("C24", "S"))


def _aliphatic_nitrogen(_graph: Graph, _own: Ints, a: _Atoms) -> _Both:
    h, plus, neutral = a.h, a.q > 0, a.q == 0
    plain, ring, every = a.u(*_A), a.u(*_a), a.u(*_ANY)
    double, triple = a.by(DOUBLE, *_ANY), a.by(TRIPLE, *_A)
    imine = (a.by(DOUBLE, *_A) >= 1) & (plain >= 1) & (every >= 2)
    rules = [
        ("N1", neutral & (h == 2) & (plain >= 1)),
        ("N2", neutral & (h == 1) & (plain >= 2)),
        ("N3", neutral & (h == 2) & (ring >= 1)),
        ("N4", neutral & (h == 1) & (ring >= 1) & (every >= 2)),
        ("N5", neutral & (h == 1) & (double >= 1)),
        ("N6", neutral & (double >= 1) & (every >= 1)),
        ("N7", neutral & (plain >= 3)),
        ("N8", neutral & (ring >= 1) & (((plain >= 1) & (every >= 3)) | (ring >= 3))),
        ("N9", neutral & (triple >= 1)),
        ("N10", plus & (h >= 1) & (h <= 3)),
        ("N13", plus & (h == 0) & ((plain >= 4) | imine)),
        ("N13", plus & (h == 0) & (a.by(DOUBLE, "C", "c") >= 1) & (a.by(DOUBLE, "N", "n") >= 1)),
        ("N14", plus & (triple >= 1)),
    ]
    return (rules, "NS"), ([], "H3")


def _aromatic_nitrogen(_graph: Graph, _own: Ints, a: _Atoms) -> _Both:
    return ([("N12", a.q > 0)], "N11"), ([], "H3")


def _aliphatic_oxygen(graph: Graph, own: Ints, a: _Atoms) -> _Both:
    h, minus, neutral, every = a.h, a.q < 0, a.q == 0, a.u(*_ANY)
    single = minus & (a.x == 1)
    beyond = _Beyond(graph, own)
    rules = [
        ("O2", (h == 1) | (h == 2)),
        ("O3", a.u(*_A) >= 2),
        ("O4", (a.u(*_a) >= 1) & (every >= 2)),
        ("O5", (a.by(DOUBLE, "N", "n", "O", "o") >= 1) | (single & (a.u("N", "n") >= 1))),
        ("O6", (single & (a.u("S", "s") >= 1)) | (neutral & (a.by(DOUBLE, "S", "s") >= 1))),
        ("O12", minus & beyond.single(beyond.acyl)),
        ("O7", single & (a.u(*(kind for kind in _ANY if kind not in "NS")) >= 1)),
        ("O8", a.by(DOUBLE, "c") >= 1),
        ("O9", beyond.double(beyond.o9)),
        ("O10", beyond.double(beyond.o10)),
        ("O11", beyond.double(beyond.o11)),
    ]
    hydroxyl = [
        ("H2", beyond.single(beyond.saturated) | (a.u("c", *_HALOGENS) > 0) | (h >= 2)),
        ("H3", a.u("N", "n") > 0),
        ("H4", beyond.single(beyond.unsaturated) | (a.u("O", "S") > 0)),
    ]
    return (rules, "OS"), (hydroxyl, "HS")


class _Beyond:
    """What an oxygen's neighbour is, where the neighbour is an aliphatic carbon."""

    def __init__(self, graph: Graph, own: Ints) -> None:
        self._graph, self._own = graph, own
        carbon = KINDS.index("C")
        self._from = (graph.kind[graph.source] == KINDS.index("O")) & (
            graph.kind[graph.target] == carbon
        )
        c = _Atoms(graph, np.arange(len(graph.kind)))
        oxo, single, both = c.by(DOUBLE, "O"), c.u("C"), c.u("C", *_a)
        self.acyl = oxo >= 1
        self.saturated = c.x == 4
        self.unsaturated = c.by(DOUBLE, "C", "c", "N", "n", "O", "S") >= 1
        self.o9 = (
            ((c.h == 1) & ((single >= 1) | (c.u("N", "O") >= 1)))
            | ((single >= 1) & (c.u(*_A) >= 2))
            | (c.h == 2)
            | ((c.x == 2) & (oxo >= 2))
        )
        ring = c.u("c")
        self.o10 = (
            ((c.h == 1) & (ring >= 1))
            | ((c.u("C", "c") >= 1) & (c.u(*_a) >= 1) & (both >= 2))
            | ((ring >= 1) & (c.u(*_A) >= 1))
        )
        self.o11 = c.u(*_NO_CARBON) >= 2

    def single(self, holds: Bools) -> Bools:
        """Tells of each oxygen whether it holds of a neighbour by a single bond."""
        return self._of(SINGLE, holds)

    def double(self, holds: Bools) -> Bools:
        """Tells of each oxygen whether it holds of its neighbour by a double bond."""
        return self._of(DOUBLE, holds)

    def _of(self, order: int, holds: Bools) -> Bools:
        graph = self._graph
        chosen = self._from & (graph.order == order) & holds[graph.target]
        found = np.zeros(len(graph.kind), np.bool_)
        found[graph.source[chosen]] = True
        return found[self._own]


def _aliphatic_sulfur(_graph: Graph, _own: Ints, a: _Atoms) -> _Both:
    return ([("S2", a.by(DOUBLE, "N", "O", "S") >= 1)], "S1"), ([], "H2")


def _always(name: str) -> "_Rules":
    return lambda _graph, _own, _atoms: (([], name), ([], "H2"))


_Rules = Callable[[Graph, Ints, _Atoms], _Both]
_BY_KIND: dict[str, _Rules] = {
    "C": _aliphatic_carbon,
    "c": _aromatic_carbon,
    "N": _aliphatic_nitrogen,
    "n": _aromatic_nitrogen,
    "O": _aliphatic_oxygen,
    "o": _always("O1"),
    "S": _aliphatic_sulfur,
    "s": _always("S3"),
    **{kind: _always(kind) for kind in _HALOGENS},
}
