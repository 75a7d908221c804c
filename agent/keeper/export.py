"""The curated table of a silo's data as they are now; only reads."""

from pathlib import Path
from typing import TYPE_CHECKING

from agent.config import Config, Paths
from agent.keeper.assemble import private_endpoints
from agent.keeper.snapshots import current_parts
from agent.keeper.trial import current_catalogue
from agent.ledger.book import Ledger
from agent.wire.documents import Endpoint

if TYPE_CHECKING:
    import polars as pl


def curated_table(config: Config) -> "pl.DataFrame":
    """Joins all files that were read; see `assays.table.SCHEMA` for the columns.

    Raises:
        Stop: There is no ledger or catalogue yet.
        Refused: `damaged_part`.
    """
    from agent.assays.table import table

    paths = Paths(config.site.state)
    with Ledger(paths.ledger, read_only=True) as ledger:
        parts = current_parts(ledger, paths.parts)
    return table([(part.store, Path(part.folder)) for part in parts], endpoints(config))


def endpoints(config: Config) -> dict[str, Endpoint]:
    """Returns every endpoint that this silo knows, by task.

    Raises:
        Stop: There is no catalogue yet.
    """
    from agent.assays.endpoints import EndpointIndex

    index = EndpointIndex(current_catalogue(Paths(config.site.state)), private_endpoints(config))
    return {task: index.endpoint(task) for task in index.tasks}
