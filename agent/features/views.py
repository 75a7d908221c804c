"""Fingerprints of one compound side by side, for networks that shall each see it differently.

Networks that see different features err less alike, and their mean errs less, than as many that see
the same (Ho 1998, IEEE PAMI 20:832, random subspaces). A view is a range of columns. Wide: what a
plan's spec counts, every atom with its surroundings of radius 2. Rich: that, and atom pairs
(Carhart 1985, J. Chem. Inf. Comput. Sci. 25:64) and topological torsions (Nilakantan 1987, ibid.
27:82), which see across the molecule. Narrow: radius 1 only, which knows less of a compound and
more often meets again what it knows.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from agent.features.fast import Featurizer, hashed
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.wire.documents import Document, FeatureSpec, Scaling

_View = tuple[int, int]


class ViewSpec(Document):
    """How a structure becomes the numbers of all views; it stays at a silo.

    Attributes:
        plain: What the wide view counts, and every view's descriptors.
        narrow_radius: Of the narrow view; it has as many columns as the wide one.
    """

    version: Literal["onggi-views-1"] = "onggi-views-1"
    plain: FeatureSpec
    narrow_radius: Annotated[int, Field(ge=0, le=4)]

    @property
    def descriptors(self) -> tuple[Scaling, ...]:
        """Those of every view."""
        return self.plain.descriptors

    @property
    def hash_size(self) -> int:
        """The columns of all views together."""
        return self.narrow[1]

    @property
    def alone(self) -> tuple[_View, ...]:
        """The views of networks that a silo makes alone."""
        return self.wide, self.rich, self.narrow

    @property
    def together(self) -> tuple[_View, ...]:
        """The views of networks that travel: the small ones."""
        return self.wide, self.narrow

    @property
    def wide(self) -> _View:
        """Its columns, from the first to before the second."""
        return 0, self.plain.hash_size

    @property
    def rich(self) -> _View:
        """Likewise; pairs and torsions take as many columns as the wide view."""
        return 0, 2 * self.plain.hash_size

    @property
    def narrow(self) -> _View:
        """Likewise."""
        return self.rich[1], self.rich[1] + self.plain.hash_size


def default_views() -> ViewSpec:
    """Returns the views of the default spec."""
    return ViewSpec(plain=default_spec(), narrow_radius=1)


class ViewFeaturizer(Featurizer):
    """Turns molecules into the features of all views."""

    def __init__(self, spec: ViewSpec) -> None:
        """Prepares RDKit's generators once.

        Raises:
            Refused: As `Featurizer`.
        """
        super().__init__(spec.plain)
        size = spec.plain.hash_size
        self._half = size // 2
        self._starts = spec.wide[1], spec.narrow[0]
        self._pairs = rdFingerprintGenerator.GetAtomPairGenerator(fpSize=self._half)
        self._torsions = rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=self._half)
        self._narrow = rdFingerprintGenerator.GetMorganGenerator(
            radius=spec.narrow_radius, fpSize=size
        )

    def featurize(self, mols: Iterable[Chem.Mol]) -> Features:
        """As `Featurizer.featurize`, with the columns of all views."""
        kept = list(mols)
        features = super().featurize(kept)
        across = [self._across(mol) for mol in kept]
        narrow = [self._narrow.GetCountFingerprint(mol).GetNonzeroElements() for mol in kept]
        for start, counts in zip(self._starts, (across, narrow), strict=True):
            features = features.beside(hashed(counts, features.dense), start)
        return features

    def _across(self, mol: Chem.Mol) -> dict[int, int]:
        counts: dict[int, int] = self._pairs.GetCountFingerprint(mol).GetNonzeroElements()
        torsions = self._torsions.GetCountFingerprint(mol).GetNonzeroElements()
        return counts | {column + self._half: count for column, count in torsions.items()}
