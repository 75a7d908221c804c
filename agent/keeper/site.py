"""What this silo adds to every order of training: its endpoints, its host, its private heads."""

from dataclasses import dataclass
from pathlib import Path

from agent.keeper.orders import Settings
from agent.wire.documents import Endpoint


@dataclass(frozen=True, slots=True)
class Site:
    """What the configuration says of this silo.

    Attributes:
        private: Its own endpoints.
        settings: What training may use of the host.
        private_weights: Where private heads rest between rounds.
    """

    private: tuple[Endpoint, ...]
    settings: Settings
    private_weights: Path

    def resting_heads(self) -> str:
        """Returns the path of the private heads, or an empty text before the first round."""
        return str(self.private_weights) if self.private_weights.exists() else ""
