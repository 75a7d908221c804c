"""Many molecules as one graph of flat arrays, so that a rule looks at all of their atoms at once.

Only what drugs are mostly made of: a molecule with another element, an isotope, an unusual valence
or a written-out hydrogen is left to RDKit's own patterns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

# Aliphatic atoms, then aromatic ones, as SMARTS writes them.
KINDS = ("C", "N", "O", "F", "S", "Cl", "Br", "I", "c", "n", "o", "s")
SINGLE, AROMATIC, DOUBLE, TRIPLE = range(4)
ORDERS = np.array([1.0, 1.5, 2.0, 3.0])
MOST_ATOMS = 120  # a matrix of 120 x 120; larger molecules are rare
_NO_KIND = -1
_ANY_EVEN = 0
# Element and charge: the kind, the kind if aromatic, and the bonds that it asks for.
_SPECIES = {
    (6, 0): ("C", "c", 4),
    (7, 0): ("N", "n", 3),
    (7, 1): ("N", "n", 4),
    (8, 0): ("O", "o", 2),
    (8, -1): ("O", "", 1),
    (9, 0): ("F", "", 1),
    (16, 0): ("S", "s", _ANY_EVEN),
    (17, 0): ("Cl", "", 1),
    (35, 0): ("Br", "", 1),
    (53, 0): ("I", "", 1),
}

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def _kind(name: str) -> int:
    return KINDS.index(name) if name else _NO_KIND


_PLACE = {species: place for place, species in enumerate(_SPECIES)}
_CHARGE = np.array([charge for _, charge in _SPECIES])
ALIPHATIC = np.array([_kind(aliphatic) for aliphatic, _, _ in _SPECIES.values()])
AROMATIC_KIND = np.array([_kind(aromatic) for _, aromatic, _ in _SPECIES.values()])
_VALENCE = np.array([valence for _, _, valence in _SPECIES.values()])


@dataclass(frozen=True, slots=True)
class Drawn:
    """One molecule as RDKit hands it out, ready to be joined to a `Graph`.

    Attributes:
        orders: float64 (atoms, atoms), each bond's order, 0 where there is none.
        atoms: A row an atom: place in `_SPECIES`, hydrogens, neighbours.
        rings: The atoms of each ring, in their order.
    """

    orders: npt.NDArray[np.float64]
    atoms: Sequence[tuple[int, int, int]]
    rings: Sequence[tuple[int, ...]]


class Drawer:
    """Takes molecules apart; it remembers what RDKit's hashed invariants of atoms stand for."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, int, int] | None] = {}

    def draw(self, mol: Chem.Mol) -> Drawn | None:
        """Returns what a `Graph` needs of a molecule, or None where it is an unusual one."""
        if not 0 < mol.GetNumAtoms() <= MOST_ATOMS:
            return None
        # One call instead of four an atom, each of which takes as long as ten atoms do here.
        invariants = rdMolDescriptors.GetConnectivityInvariants(mol)
        atoms = [self._known.get(invariant, ()) for invariant in invariants]
        if () in atoms:
            self._learn(mol, invariants)
            atoms = [self._known[invariant] for invariant in invariants]
        if None in atoms:
            return None
        orders, rings = Chem.GetAdjacencyMatrix(mol, useBO=True), mol.GetRingInfo().AtomRings()
        return Drawn(orders, atoms, rings)  # type: ignore[arg-type]

    def _learn(self, mol: Chem.Mol, invariants: Sequence[int]) -> None:
        for atom, invariant in zip(mol.GetAtoms(), invariants, strict=True):
            place = _PLACE.get((atom.GetAtomicNum(), atom.GetFormalCharge()))
            plain = place is not None and not atom.GetIsotope()
            row = (place, atom.GetTotalNumHs(), atom.GetDegree()) if plain else None
            self._known[invariant] = row  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The atoms of several molecules, one behind the other, and their bonds in both directions.

    Attributes:
        molecule: int64 (atoms,); which one each belongs to.
        kind: int64 (atoms,); place in `KINDS`.
        hydrogens, charge, degree: int64 (atoms,); `degree` leaves hydrogens out.
        source, target, order: int64 (bonds,); two atoms, and `SINGLE` to `TRIPLE`.
        ring: bool (bonds,).
        neighbours: int64 (orders, kinds, atoms); how many an atom has.
        usual: bool (molecules,); whether its bonds are those that its atoms ask for.
    """

    molecule: Ints
    kind: Ints
    hydrogens: Ints
    charge: Ints
    degree: Ints
    source: Ints
    target: Ints
    order: Ints
    ring: Bools
    neighbours: Ints
    usual: Bools

    @classmethod
    def join(cls, drawn: Sequence[Drawn]) -> Self:
        """Puts molecules, at least one, behind each other."""
        sizes = np.array([len(one.atoms) for one in drawn])
        rows = np.array(list(chain.from_iterable(one.atoms for one in drawn)))
        species, hydrogens, degree = rows.T.copy()
        atoms = len(species)
        source, target, order, ring = _bonds(drawn, sizes)
        aromatic = np.bincount(source[order == AROMATIC], minlength=atoms) > 0
        kind = np.where(aromatic, AROMATIC_KIND[species], ALIPHATIC[species])
        code = (order * len(KINDS) + kind[target]) * atoms + source
        shape = (len(ORDERS), len(KINDS), atoms)
        filled = np.bincount(source, ORDERS[order], atoms) + hydrogens
        # A dative or undefined bond, a radical: what no rule was written for.
        asked = np.where(
            _VALENCE[species] == _ANY_EVEN, filled % 2 == 0, filled == _VALENCE[species]
        )
        fits = (aromatic | asked) & (kind != _NO_KIND)
        fits &= np.bincount(source, minlength=atoms) == degree
        return cls(
            np.repeat(np.arange(len(drawn)), sizes),
            kind,
            hydrogens,
            _CHARGE[species],
            degree,
            source,
            target,
            order,
            ring,
            np.bincount(code[kind[target] != _NO_KIND], minlength=int(np.prod(shape))).reshape(
                shape
            ),
            np.logical_and.reduceat(fits, np.cumsum(sizes) - sizes),
        )


def _bonds(drawn: Sequence[Drawn], sizes: Ints) -> tuple[Ints, Ints, Ints, Bools]:
    """Returns every bond as `Graph` has it: source, target, order, ring."""
    flat = np.concatenate([one.orders.ravel() for one in drawn])
    places = np.flatnonzero(flat)
    lengths = sizes * sizes
    ends = np.cumsum(lengths)
    counts = np.diff(np.searchsorted(places, np.concatenate([[0], ends])))
    first, size = np.cumsum(sizes) - sizes, np.repeat(sizes, counts)
    source, target = np.divmod(places - np.repeat(ends - lengths, counts), size)
    begin = np.repeat(first, counts)
    ring = _in_rings(drawn, (ends - lengths).tolist(), len(flat))[places]
    # A quadruple bond counts as a triple one, which leaves its atoms short of what they ask for.
    order = np.minimum(np.searchsorted(ORDERS, flat[places]), TRIPLE)
    return source + begin, target + begin, order, ring


def _in_rings(drawn: Sequence[Drawn], begins: Sequence[int], size: int) -> Bools:
    """Marks the bonds of rings in the joined matrices."""
    found = np.zeros(size, np.bool_)
    places = []
    for one, begin in zip(drawn, begins, strict=True):
        atoms = len(one.atoms)
        for ring in one.rings:
            for first, second in zip(ring, (*ring[1:], ring[0]), strict=True):
                places.append(begin + first * atoms + second)
                places.append(begin + second * atoms + first)
    found[places] = True
    return found
