"""What the keeper laid out for predict: where it is, who may see it, and the site's report.

The process that answers HTTP reads a link and a small JSON file here and never opens a reference;
its workers do (`agent.serving.collection`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.releases import shelf
from agent.serving.callers import caller_of

if TYPE_CHECKING:  # a worker loads this, too, and no framework
    from fastapi import Request


@dataclass(frozen=True, slots=True)
class Shown:
    """The folders that the keeper writes for predict.

    Attributes:
        reference: References by name, and a link to the one in use.
        site: The report on the site.
    """

    reference: Path
    site: Path

    @classmethod
    def beside(cls, releases: Path) -> Self:
        """Returns what lies beside the folder of all releases, as `config.Paths` has it."""
        return cls(releases.parent / "reference", releases.parent / "status" / "site.json")

    def current(self) -> str:
        """Returns the name of the reference in use, or an empty text."""
        return shelf.current(self.reference)

    def for_caller(self, request: "Request") -> str:
        """Returns the name of the reference that whoever asks may see, or an empty text."""
        return self.current() if "data" in caller_of(request).scopes else ""

    def site_report(self) -> dict[str, Any] | None:
        """Returns the report on the site, or None where the keeper has written none yet."""
        try:
            written = json.loads(self.site.read_bytes())
            return {"time": written["at"], **written["status"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None
