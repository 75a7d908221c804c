"""The default catalogue of shared endpoints; a consortium may sign another."""

from importlib import resources

from agent.wire import strict_json
from agent.wire.documents import Catalogue


def default_catalogue(consortium: str) -> Catalogue:
    """Returns the endpoints that come with the aggregator, in K-MELLODDY's vocabulary.

    Units and ranges: concentrations in uM, CLint in uL/min/mg (microsomes) or uL/min/10^6 cells,
    permeability in 10^-6 cm/s. A range is where a value is physically or experimentally possible;
    outside it, it is a slip of the pen.
    """
    content = resources.files("consortium").joinpath("catalogue.json").read_bytes()
    endpoints = strict_json.loads(content)
    return Catalogue.parse(
        strict_json.dumps({"consortium": consortium, "version": 1, "endpoints": endpoints})
    )
