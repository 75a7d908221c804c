"""The default catalogue of shared endpoints; a consortium may sign another."""

from importlib import resources

from agent.records import Json
from agent.wire import strict_json
from agent.wire.documents import Catalogue


def default_catalogue(consortium: str) -> Catalogue:
    """Returns the endpoints that come with the aggregator, in K-MELLODDY's vocabulary.

    What the vocabulary knows and the consortium does not share stands in `unshared.json`, each
    with its reason, so that a silo's account can say why.

    Units and ranges: concentrations in uM, CLint in uL/min/mg (microsomes) or uL/min/10^6 cells,
    permeability in 10^-6 cm/s. A range is where a value is physically or experimentally possible;
    outside it, it is a slip of the pen.
    """
    return Catalogue.parse(
        strict_json.dumps(
            {
                "consortium": consortium,
                "version": 1,
                "endpoints": _shipped("catalogue.json"),
                "unshared": _shipped("unshared.json"),
            }
        )
    )


def _shipped(name: str) -> Json:
    return strict_json.loads(resources.files("consortium").joinpath(name).read_bytes())
