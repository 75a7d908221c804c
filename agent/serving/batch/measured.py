"""What the site measured itself of a file's compounds, from a worker to the table that it becomes.

Few rows have any, so it travels as a list beside the arrays of what was predicted.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # neither is needed to write a table
    from agent.assays.lookup import Measured
    from agent.releases.card import TaskCard

KEY = "measured"  # of a message's head; missing where nobody looked


class Finding(NamedTuple):
    """What was measured of one structure for one endpoint.

    Attributes:
        row: The structure's number in its piece, or in its part.
        task: The endpoint's column.
        value: In the endpoint's unit; 0 or 1 for a class.
        qualifier: `<`, `=` or `>`.
        n: How many measurements it is the median of.
    """

    row: int
    task: int
    value: float
    qualifier: str
    n: int

    @property
    def text(self) -> str:
        """As the page's own table writes it: a number, behind `<` or `>` where it is a limit."""
        return self.qualifier.replace("=", "") + repr(self.value).removesuffix(".0")


def findings(
    known: Mapping[int, Mapping[str, "Measured"]], tasks: Sequence["TaskCard"]
) -> list[Finding]:
    """Lists what was measured for the endpoints of a release.

    A table says an endpoint's unit once: what was measured in another one is left out.

    Args:
        known: By structure, then by endpoint.
        tasks: The release's columns.
    """
    return [
        Finding(row, column, said.value, said.qualifier, said.n)
        for row, of_one in known.items()
        for column, task in enumerate(tasks)
        if (said := of_one.get(task.task)) is not None and said.unit == task.unit
    ]


def by_task(heads: Iterable[tuple[int, Mapping[str, Any]]]) -> dict[int, list[Finding]]:
    """Reads the findings of a part.

    Args:
        heads: Of the messages that answered it, each with the number of its first row.
    """
    found: defaultdict[int, list[Finding]] = defaultdict(list)
    for first, head in heads:
        for row, task, *rest in head.get(KEY, ()):
            found[task].append(Finding(first + row, task, *rest))
    return dict(found)
