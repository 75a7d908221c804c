"""What a release says of how sure it is: intervals and domain in one file, beside the graph."""

from pathlib import Path
from typing import Literal

from agent.errors import Refused
from agent.files import write_atomic
from agent.learning.domain import Domain
from agent.learning.intervals import Calibration
from agent.wire.document import Document


class Certainty(Document):
    """Both parts name every task, in the order of the graph's columns."""

    version: Literal[1] = 1
    calibration: Calibration
    domain: Domain

    def tasks(self) -> tuple[str, ...]:
        """Returns the tasks' names."""
        return tuple(task.task for task in self.calibration.tasks)


def write_certainty(path: Path, certainty: Certainty) -> None:
    """Writes the file, all of it or nothing.

    Raises:
        OSError: The disk is full or not writable.
    """
    write_atomic(path, certainty.to_bytes())


def read_certainty(path: Path) -> Certainty:
    """Reads what `write_certainty` wrote.

    Raises:
        Refused: `no_calibration`: it cannot be read; or a code of `Document.parse`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refused("no_calibration", f"{path.name} cannot be read; build it again.") from error
    return Certainty.parse(content)
