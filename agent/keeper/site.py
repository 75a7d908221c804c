"""What this silo adds to every order of training: its endpoints, its host, its private heads."""

from dataclasses import dataclass
from pathlib import Path

from agent.files import write_atomic
from agent.keeper.orders import Settings
from agent.wire.documents import Endpoint


@dataclass(frozen=True, slots=True)
class Site:
    """What the configuration says of this silo.

    Attributes:
        private: Its own endpoints.
        settings: What training may use of the host.
        private_weights: Where private heads rest between rounds; beside them the optimizer's
            moments, where a plan wants them kept.
    """

    private: tuple[Endpoint, ...]
    settings: Settings
    private_weights: Path

    def resting_heads(self) -> str:
        """Returns the path of the private heads, or an empty text before the first round."""
        return str(self.private_weights) if self.private_weights.exists() else ""

    @property
    def privacy_head(self) -> Path:
        """Where the head of the privacy account is kept beside the ledger."""
        return self.privacy_head_in(self.private_weights.parent)

    @staticmethod
    def privacy_head_in(models: Path) -> Path:
        """Returns the same from the folder of models alone."""
        return models / "privacy.json"

    def moments(self, plan_id: str) -> Path:
        """Returns where the optimizer rests between the rounds of a plan."""
        return self.private_weights.with_name(f"moments-{plan_id}.safetensors")

    def resting_moments(self, plan_id: str) -> str:
        """Returns the path of the moments, or an empty text before the plan's first round."""
        path = self.moments(plan_id)
        return str(path) if path.exists() else ""

    def keep_moments(self, plan_id: str, content: bytes) -> None:
        """Keeps a plan's moments, readable by the keeper alone; those of other plans go.

        Raises:
            OSError: The disk is full or not writable.
        """
        own = self.moments(plan_id)
        write_atomic(own, content, mode=0o600)
        for other in own.parent.glob("moments-*.safetensors"):
            if other != own:
                other.unlink(missing_ok=True)
