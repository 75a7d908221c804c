"""The worker's side of what the keeper laid out: references opened, looked up in and closed."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rdkit import Chem

from agent import log
from agent.assays import lookup
from agent.assays.identity_cache import origin
from agent.assays.lookup import Reference, counted
from agent.assays.skeleton import composition_of_text, graph_of_text, graphs
from agent.assays.structures import identified
from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.light import light_mol
from agent.records import Compound, InvalidStructure, Structure
from agent.releases import shelf
from agent.serving.bodies import Asked
from agent.serving.predictor import Given, Watch
from agent.wire.documents import FeatureSpec

_LOGGER = logging.getLogger(__name__)
_OPEN = 2  # the one in use and the one before it, for calls that began with it
_REMEMBERED = 1_000  # structures that were looked up

Written = str | InvalidStructure
_Known = dict[str, lookup.Measured]


@dataclass(frozen=True, slots=True)
class Similar:
    """A structure as it was read, and the site's compounds that are most similar to it."""

    smiles: str
    neighbours: list[lookup.Neighbour]


class Collection:
    """The references that a worker has open; it belongs to one thread.

    Args:
        folder: `reference/`.
        watch: As of `Predictor.predict`.
    """

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder = folder
        self._watch = watch
        self._references: dict[str, Reference | None] = {}  # None: it cannot be used
        self._featurizers: dict[str, Featurizer] = {}
        self._found: dict[tuple[str, str, Structure], _Known] = {}

    def opened(self, name: str) -> Reference:
        """Returns the reference of a name.

        Raises:
            Refused: `no_reference`: there is none, or it cannot be used.
        """
        if name not in self._references:
            self._references[name] = self._open(name)
            while len(self._references) > _OPEN:
                self._close(next(iter(self._references)))
        reference = self._references[name]
        if reference is None or not reference.shares_values:
            raise _none()
        return reference

    def with_measured(
        self, name: str, asked: Sequence[Asked], answers: Sequence[Written]
    ) -> list[Written]:
        """Puts beside each prediction what the site measured itself.

        A fault of the reference costs what was measured, and never a prediction.

        Args:
            name: The reference; an empty text where the caller may see none.
            asked: The structures.
            answers: One each, written as `Predictor.write` does.
        """
        good = [at for at, answer in enumerate(answers) if isinstance(answer, str)]
        known = self.measured(name, [(one.structure, one.fmt) for one in asked], good) or {}
        return [
            _beside(answer, known[at]) if isinstance(answer, str) and at in known else answer
            for at, answer in enumerate(answers)
        ]

    def measured(
        self, name: str, structures: Sequence[Given], wanted: Iterable[int]
    ) -> "dict[int, _Known] | None":
        """Looks up what the site measured itself.

        Args:
            name: As of `with_measured`.
            structures: Texts and how to read each.
            wanted: The numbers of those to look up.

        Returns:
            By a structure's number what was measured of it, by endpoint; nothing of those of which
            nothing was. None where the caller may see none, or the reference cannot be used.
        """
        if not name:
            return None
        try:
            reference = self.opened(name)
            found = ((at, self._known((name, reference), structures[at], at)) for at in wanted)
            return {at: known for at, known in found if known}
        except Refused as refused:
            self._judged(name, refused)
            return None

    def neighbours(
        self, name: str, asked: Asked, endpoint: str | None, most: int
    ) -> "Similar | InvalidStructure":
        """Finds the site's compounds that are most similar to a structure.

        Raises:
            Refused: `no_reference`, or `unknown_endpoint`.
        """
        reference = self.opened(name)
        try:
            (found,) = (
                self._similar(reference, one, endpoint, most)
                for one in self._watch([(asked.structure, asked.fmt)], 0)
            )
        except Refused as refused:
            raise self._judged(name, refused) from None
        return found

    def newest(self, name: str) -> list[str]:
        """Returns the structures of the compounds that the site measured last.

        Raises:
            Refused: `no_reference`.
        """
        reference = self.opened(name)
        try:
            return reference.newest()
        except Refused as refused:
            raise self._judged(name, refused) from None

    def _judged(self, name: str, refused: Refused) -> Refused:
        """Gives up a reference that is damaged, and returns what the caller is told."""
        if refused.code != "damaged_reference":
            return refused
        self._spoil(name, refused)
        return _none()

    def _similar(
        self, reference: Reference, given: Given, endpoint: str | None, most: int
    ) -> "Similar | InvalidStructure":
        mol = light_mol(*given)
        if isinstance(mol, InvalidStructure):
            return mol
        features = self._featurizer(reference).featurize([mol])
        counts = counted(features.indices, features.values)
        return Similar(str(Chem.MolToSmiles(mol)), reference.neighbours(counts, most, endpoint))

    def _known(self, source: tuple[str, Reference], given: Given, number: int) -> _Known:
        name, reference = source
        if not _may_be_known(reference, given):
            return {}
        place = (name, *given)
        if place not in self._found:
            (found,) = (_looked_up(reference, one) for one in self._watch([given], number))
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[place] = found
        return self._found[place]

    def _featurizer(self, reference: Reference) -> Featurizer:
        spec = reference.about("features")
        if spec not in self._featurizers:
            self._featurizers.clear()
            self._featurizers[spec] = Featurizer(FeatureSpec.model_validate_json(spec))
        return self._featurizers[spec]

    def _open(self, name: str) -> Reference | None:
        try:
            reference = Reference(shelf.path_of(self._folder, name))
        except Refused as refused:
            log.trouble(_LOGGER, "reference_not_opened", reference=name, code=refused.code)
            return None
        if reference.about("identity") != origin():
            # Written by another RDKit: what is the same compound there may not be here.
            log.trouble(_LOGGER, "reference_of_another_version", reference=name)
            reference.close()
            return None
        return reference

    def _spoil(self, name: str, refused: Refused) -> None:
        """Gives up a reference whose content turned out to be damaged, until another comes."""
        log.trouble(_LOGGER, "reference_given_up", reference=name, code=refused.code)
        self._close(name)
        self._references[name] = None

    def _close(self, name: str) -> None:
        reference = self._references.pop(name, None)
        if reference is not None:
            reference.close()


def _may_be_known(reference: Reference, given: Given) -> bool:
    """Tells, in microseconds, whether it is worth milliseconds to find out which compound it is."""
    structure, fmt = given
    if fmt == "smiles":
        text = structure.strip()
        composition = composition_of_text(text)
        if composition is not None:
            if not reference.may_know(composition):
                return False
            graph = graph_of_text(text)
            if graph is not None:
                return reference.has_skeleton(graph.skeleton)
    return any(
        not graph.usual or reference.has_skeleton(graph.skeleton)
        for graph in graphs(structure, fmt)
    )


def _looked_up(reference: Reference, given: Given) -> _Known:
    compound = identified(*given)
    return reference.measured(compound.key) if isinstance(compound, Compound) else {}


def _beside(answer: str, found: _Known) -> str:
    """Adds what was measured to the text of the predictions; few have any, so it is read again."""
    predictions = json.loads(f"{{{answer}}}")
    for endpoint in predictions.keys() & found.keys():
        said = asdict(found[endpoint])
        said.pop("newest")
        predictions[endpoint]["measured"] = said
    return json.dumps(predictions, ensure_ascii=False)[1:-1]


def _none() -> Refused:
    return Refused("no_reference", "This site shows no measured compounds here.")
