"""What all spellings of a compound share: a test that costs microseconds and misses none.

Finding out which compound a structure is (`structures.identify`) costs milliseconds. Whatever it
strips or moves (salts, charges, isotopes, hydrogens, double bonds, stereochemistry), it leaves the
heavy atoms of the parent and the bonds between them where they are. So two spellings of a compound
agree in the composition (which heavy atoms, how many rings) and in the skeleton (which atom is
bound to which), and whatever agrees in neither with a known compound is none of them.

The one step that cuts a bond between heavy atoms takes alkali metals off; whatever holds an element
that is unusual in drugs is therefore never ruled out.
"""

import re
from functools import lru_cache

from rdkit import Chem, rdBase

from agent.records import Structure

# RDKit quotes the structure in its complaints; a structure must never reach a log.
rdBase.DisableLog("rdApp.*")

_MASK = (1 << 64) - 1
_SIGN = 1 << 63
_ROUNDS = 2  # neighbours of neighbours: what agrees then is nearly always the same graph
_USUAL = frozenset({1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53})
_ODD = re.compile(r"[^A-Za-z0-9@+\-\[\]()=#:/\\%]|%\(")
_TOKENS = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops]|%\d\d|\d")
_STEPS = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops()]|%\d\d|\d")
_BRACKET = re.compile(r"\[\d*(se|[A-Z][a-z]?|[bcnops])")
_DIGITS = frozenset("%0123456789")
_TABLE = Chem.GetPeriodicTable()
# Odd numbers without a pattern (the golden ratio's, and those of SplitMix64, Steele et al. 2014).
_SPREAD, _SQUARED = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9
_ATOM, _RING_END = 0x94D049BB133111EB, 0xD6E8FEB86659FD93


def composition_of_text(smiles: str) -> int | None:
    """Counts the heavy atoms and ring closures of a SMILES without reading it as a molecule.

    Args:
        smiles: One that RDKit can read.

    Returns:
        As `composition`; None where the text says more than one plain fragment of usual elements.
    """
    if _ODD.search(smiles):
        return None
    total = 0
    for token in _TOKENS.findall(smiles):
        weight = _weight(token)
        if weight is None:
            return None
        total += weight
    return _signed(total)


@lru_cache(maxsize=1_000)
def _weight(token: str) -> int | None:
    if token[0].isdigit() or token[0] == "%":
        return _RING_END
    number = _element(token)
    if number not in _USUAL:
        return None
    return 0 if number == 1 else _mixed(number * _ATOM)


@lru_cache(maxsize=1_000)
def _element(token: str) -> int:
    """Returns the atomic number of an atom's token, or 0."""
    found = _BRACKET.match(token)
    symbol = found[1] if found else token
    if found is None and token[0] == "[":
        return 0
    # "[nH]" and "[Sc]" both: two letters count only where they name an element.
    return _number(symbol) or _number(symbol[0])


def _number(symbol: str) -> int:
    try:
        return int(_TABLE.GetAtomicNumber(symbol.capitalize()))
    except RuntimeError:
        return 0


def graph_of_text(smiles: str) -> "Graph | None":
    """Reads who is bound to whom from a SMILES, five times as fast as RDKit reads it.

    Args:
        smiles: One that RDKit can read.

    Returns:
        As `graphs`; None where `composition_of_text` says nothing either, or a hydrogen stands as
        an atom.
    """
    if _ODD.search(smiles):
        return None
    numbers: list[int] = []
    bonds: list[tuple[int, int]] = []
    open_rings: dict[str, int] = {}
    branches: list[int] = []
    last = -1
    for step in _STEPS.findall(smiles):
        if step == "(":
            branches.append(last)
        elif step == ")":
            last = branches.pop() if branches else -1
        elif step[0] in _DIGITS:
            bonds += _ring_bond(open_rings, step.lstrip("%0"), last)
        else:
            number = _element(step)
            if number not in _USUAL or number == 1:
                return None
            if last >= 0:
                bonds.append((last, len(numbers)))
            last = len(numbers)
            numbers.append(number)
    return Graph(numbers, bonds)


def _ring_bond(open_rings: dict[str, int], ring: str, atom: int) -> tuple[tuple[int, int], ...]:
    """Opens a ring, or closes it and returns its bond."""
    if ring in open_rings:
        return ((open_rings.pop(ring), atom),)
    open_rings[ring] = atom
    return ()


class Graph:
    """The heavy atoms of one fragment and the bonds between them."""

    def __init__(self, numbers: list[int], bonds: list[tuple[int, int]]) -> None:
        """Takes what `graphs` found.

        Args:
            numbers: Atomic numbers.
            bonds: Places of both atoms in `numbers`.
        """
        self._numbers = numbers
        self._bonds = bonds

    @property
    def usual(self) -> bool:
        """Whether standardizing leaves its bonds alone."""
        return _USUAL.issuperset(self._numbers)

    @property
    def composition(self) -> int:
        """The heavy atoms by element and the number of rings, as 64 bits with a sign."""
        rings = len(self._bonds) - len(self._numbers) + 1
        total = sum(_mixed(number * _ATOM) for number in self._numbers)
        return _signed(total + 2 * rings * _RING_END)

    @property
    def skeleton(self) -> int:
        """The elements and who is bound to whom, as 64 bits with a sign.

        Weisfeiler and Lehman's labels (1968) of two rounds, whose sums need no order.
        """
        labels = [_mixed(number * _ATOM) for number in self._numbers]
        for _ in range(_ROUNDS):
            sums = [label * _SPREAD for label in labels]
            for begin, end in self._bonds:
                sums[begin] += labels[end]
                sums[end] += labels[begin]
            labels = [_mixed(total) for total in sums]
        return _signed(sum(labels))


def graphs(structure: str, structure_format: Structure) -> list[Graph]:
    """Reads the fragments of a structure, without making chemistry of it.

    Returns:
        A graph a fragment that has two or more heavy atoms bound to each other, or one that is
        alone and usual; none where RDKit cannot read it.
    """
    try:
        mol = _read(structure, structure_format)
    except (ValueError, RuntimeError):
        return []
    return [] if mol is None else _fragments(mol)


def _read(structure: str, structure_format: Structure) -> Chem.Mol | None:
    if structure_format == "smiles":
        return Chem.MolFromSmiles(structure.strip(), sanitize=False)
    return Chem.MolFromMolBlock(structure, sanitize=False, removeHs=False)


def _fragments(mol: Chem.Mol) -> list[Graph]:
    numbers = [atom.GetAtomicNum() for atom in mol.GetAtoms()]
    ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
    bonds = [(a, b) for a, b in ends if numbers[a] > 1 and numbers[b] > 1]
    found: list[Graph] = []
    for members in Chem.GetMolFrags(mol):
        heavy = [atom for atom in members if numbers[atom] > 1]
        place = {atom: number for number, atom in enumerate(heavy)}
        own = [(place[a], place[b]) for a, b in bonds if a in place]
        graph = Graph([numbers[atom] for atom in heavy], own)
        if own or (heavy and graph.usual):  # a lone metal is a salt's other half
            found.append(graph)
    return found


def _mixed(label: int) -> int:
    label &= _MASK
    label = ((label ^ (label >> 30)) * _SQUARED) & _MASK
    return label ^ (label >> 27)


def _signed(total: int) -> int:
    """Returns the lower 64 bits as SQLite keeps a number."""
    total &= _MASK
    return total - (1 << 64) if total & _SIGN else total
