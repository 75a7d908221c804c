"""Hydrogen bond acceptors and rotatable bonds of many molecules at once, counted as RDKit does.

The patterns are those of RDKit's `Lipinski.cpp`, the strict one for rotatable bonds; each is a
comparison over all atoms of a batch.
"""

import numpy as np

from agent.features.graph import AROMATIC, DOUBLE, KINDS, SINGLE, TRIPLE, Bools, Graph, Ints

_CARBON = KINDS.index("C")


def acceptors(graph: Graph) -> Ints:
    """Returns how many acceptors each molecule has, int64 (molecules,)."""
    by = graph.neighbours
    filled = by[SINGLE].sum(axis=0) + 2 * by[DOUBLE].sum(axis=0) + 3 * by[TRIPLE].sum(axis=0)
    filled += graph.hydrogens
    # Beside a double bond to one of these, the lone pair is elsewhere.
    polar = _is(graph, "O", "N", "S")
    double = (graph.order == DOUBLE) & polar[graph.target]
    drawn = _marked(graph, double)
    drawn_out_of_ring = _marked(graph, double & ~graph.ring)
    single = graph.order == SINGLE
    beside_any = _marked(graph, single & drawn[graph.target])
    beside = _marked(graph, single & drawn_out_of_ring[graph.target])
    chalcogen, no_hydrogen = _is(graph, "O", "S"), graph.hydrogens == 0
    divalent = chalcogen & (filled == 2)
    found = divalent & (no_hydrogen | ((graph.hydrogens == 1) & (graph.degree == 1) & ~beside_any))
    found |= chalcogen & (graph.charge == -1)
    found |= _is(graph, "N") & (filled == 3) & ~beside
    pyridine = _is(graph, "n") & no_hydrogen & (graph.degree == 2)
    found |= (_is(graph, "o", "s") | pyridine) & (graph.charge == 0)
    return np.bincount(graph.molecule, found, len(graph.usual)).astype(np.int64)


def rotatable(graph: Graph) -> Ints:
    """Returns how many bonds of each molecule turn freely, int64 (molecules,)."""
    by, u = graph.neighbours, graph.neighbours[SINGLE] + graph.neighbours[AROMATIC]
    carbon, methyl = graph.kind == _CARBON, (graph.kind == _CARBON) & (graph.hydrogens == 3)
    light = (graph.order == SINGLE) | (graph.order == AROMATIC)
    methyls = np.bincount(graph.source[light & methyl[graph.target]], minlength=len(carbon))
    bulky = carbon & (methyls >= 3)
    for halogen in ("F", "Cl", "Br"):
        bulky |= carbon & (u[KINDS.index(halogen)] >= 3)
    free = (by[TRIPLE].sum(axis=0) == 0) & (graph.degree != 1) & ~bulky & ~methyl
    loose = free & ~_amides(graph)
    forth, back = graph.source, graph.target
    turns = light & ~graph.ring & (forth < back)
    turns &= (loose[forth] & free[back]) | (free[forth] & loose[back])
    return np.bincount(graph.molecule[forth[turns]], minlength=len(graph.usual))


def _amides(graph: Graph) -> Bools:
    """Tells which atoms are either end of a bond as in an amide or an ester."""
    double = graph.neighbours[DOUBLE][[KINDS.index(kind) for kind in "NOS"]].sum(axis=0)
    acyl = (graph.kind == _CARBON) & (graph.degree == 3) & (double > 0)
    donor = _is(graph, "N", "n", "O") | (_is(graph, "S") & (graph.degree != 1))
    bond = (graph.order == SINGLE) & ~graph.ring
    return _marked(graph, bond & acyl[graph.source] & donor[graph.target]) | _marked(
        graph, bond & donor[graph.source] & acyl[graph.target]
    )


def _is(graph: Graph, *kinds: str) -> Bools:
    return np.isin(graph.kind, [KINDS.index(kind) for kind in kinds])


def _marked(graph: Graph, bonds: Bools) -> Bools:
    """Tells which atoms such a bond starts from."""
    found = np.zeros(len(graph.kind), np.bool_)
    found[graph.source[bonds]] = True
    return found
