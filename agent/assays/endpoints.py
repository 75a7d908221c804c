"""Which endpoint a reading belongs to, and the scale on which its endpoint is modelled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent.assays.rules import compiled, fit, words_of
from agent.errors import Refused, Stop
from agent.records import Assay, Reading
from agent.wire.documents import Catalogue, Endpoint

PRIVATE = "private:"
"""Prefix of the tasks whose heads never leave the silo."""

_MAX_KNOWN = 20_000
_MICROMOLAR_EXPONENT = 6.0  # 1 M = 10^6 uM


def together(*declared: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Joins what the configuration and the profiles declare private; the same one may come twice.

    Raises:
        Stop: Two of them have one id and differ.
    """
    found: dict[str, Endpoint] = {}
    for endpoint in (one for some in declared for one in some):
        if found.setdefault(endpoint.id, endpoint) != endpoint:
            raise Stop(
                f"The private endpoint {endpoint.id} is declared twice, and differently; the "
                "configuration and the profiles must agree."
            )
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Resolved:
    """An endpoint and the name of its task (`private:` and the id where it is the silo's own)."""

    task: str
    endpoint: Endpoint


class EndpointIndex:
    """Finds the endpoint of a reading among the catalogue's and the silo's private ones."""

    def __init__(self, catalogue: Catalogue, private: Sequence[Endpoint] = ()) -> None:
        shared = [Resolved(endpoint.id, endpoint) for endpoint in catalogue.endpoints]
        own = [Resolved(PRIVATE + endpoint.id, endpoint) for endpoint in private]
        self._by_task = {entry.task: entry for entry in (*shared, *own)}
        self._rules = [
            (compiled(rule), entry)
            for entry in self._by_task.values()
            for rule in entry.endpoint.rules
        ]
        self._unshared = [(compiled(entry.rule), entry.reason) for entry in catalogue.unshared]
        self._known: dict[Assay, Resolved | None] = {}

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task, the catalogue's first, in the order given."""
        return tuple(self._by_task)

    def endpoint(self, task: str) -> Endpoint:
        """Returns a task's endpoint.

        Raises:
            KeyError: There is no such task.
        """
        return self._by_task[task].endpoint

    def resolve(self, reading: Reading) -> Resolved | None:
        """Finds a reading's endpoint: the profile's word, or the most specific rule that fits.

        Returns:
            The endpoint with its task, or `None` where nothing fits.

        Raises:
            Refused: `ambiguous_assay`: two endpoints fit equally well, and none is guessed.
        """
        if reading.endpoint:
            return self._by_task.get(reading.endpoint)
        try:
            return self._known[reading.assay]
        except KeyError:
            found = self._by_rules(reading.assay)
        if len(self._known) >= _MAX_KNOWN:  # free text in conditions has no end
            self._known.clear()
        self._known[reading.assay] = found
        return found

    def why_unshared(self, assay: Assay) -> str:
        """Returns the catalogue's sentence on an assay that it leaves out, or an empty text."""
        words, condition = words_of(assay)
        fitting = [(fit(rule, words, condition), reason) for rule, reason in self._unshared]
        best = max((given for given, _ in fitting), default=0)
        return next((reason for given, reason in fitting if given == best and given), "")

    def _by_rules(self, assay: Assay) -> Resolved | None:
        words, condition = words_of(assay)
        fitting = [(fit(rule, words, condition), entry) for rule, entry in self._rules]
        best = max((given for given, _ in fitting), default=0)
        tasks = {entry.task for given, entry in fitting if given and given == best}
        if len(tasks) > 1:
            raise Refused(
                "ambiguous_assay",
                f"The assay fits {' and '.join(sorted(tasks))} equally; name one in the profile.",
            )
        return self._by_task[tasks.pop()] if tasks else None


def transform(native: float, endpoint: Endpoint) -> float:
    """Takes a value from the canonical unit to the scale that is modelled.

    Raises:
        Refused: `not_positive`: the scale is a logarithm and the value has none.
    """
    match endpoint.transform:
        case "identity":
            return native
        case "log10_plus_1":
            return math.log10(max(native, 0.0) + 1.0)
        case "log10":
            return _log10(native)
        case "neg_log10_molar":  # canonical unit uM
            return _MICROMOLAR_EXPONENT - _log10(native)


def invert(value: float, endpoint: Endpoint) -> float:
    """Takes a modelled value back to the canonical unit; the inverse of `transform`."""
    match endpoint.transform:
        case "identity":
            return value
        case "log10_plus_1":
            return float(10.0**value - 1.0)
        case "log10":
            return float(10.0**value)
        case "neg_log10_molar":
            return float(10.0 ** (_MICROMOLAR_EXPONENT - value))


def flips(endpoint: Endpoint) -> bool:
    """Tells whether the transform runs the other way, so that qualifiers flip."""
    return endpoint.transform == "neg_log10_molar"


def _log10(native: float) -> float:
    if native <= 0:
        raise Refused("not_positive", "The value must be above zero to have a logarithm.")
    return math.log10(native)
