"""The policy file: one TOML file -> frozen sections; unknown keys refused, every fault at once."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.config import GateSection, HoursOfDay
from agent.errors import Stop
from agent.toml import Section, parse_toml

KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AskSection(Section):
    """What a plan may ask of this silo.

    Attributes:
        endpoints: Ids of the catalogue; `*` allows all.
        max_parameters: Of the whole network, every head included.
        max_rounds_per_week: In any seven days, and on average over a plan's whole time.
        hours: Local hours in which a round may be taken, such as `18-07`; empty for always.
    """

    endpoints: tuple[str, ...] = ("*",)
    max_parameters: Annotated[int, Field(ge=1)] = 1_000_000_000
    max_rounds_per_week: Annotated[int, Field(ge=1)] = 1_000_000
    hours: HoursOfDay = ""


class PeersSection(Section):
    """Among whom this silo's update must disappear.

    Attributes:
        min_participants: How many silos that count must take part, this one included.
        count: `roster` counts every silo of the roster; else the ids (SHA-256) of the signing
            keys that this site has checked itself, so that a round cannot be padded with puppets.
    """

    min_participants: Annotated[int, Field(ge=1)] = 1
    count: Literal["roster"] | tuple[KeyId, ...] = "roster"


class PrivacySection(Section):
    """What differential privacy and which masks a plan must have.

    Attributes:
        none_allowed: Whether a plan without any is acceptable.
        max_epsilon: The largest epsilon of a plan that has it.
        unmasked_allowed: Whether a plan whose aggregator sees each silo's update is acceptable.
        n_min: Under masking, the fewest silos that count in a sum with this one's update.
        budget_epsilon, budget_delta: What may be spent on all plans together, for ever; training
            and sending with noise are refused beyond it.
    """

    none_allowed: bool = True
    max_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1000.0
    unmasked_allowed: bool = True
    n_min: Annotated[int, Field(ge=3)] = 5
    budget_epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 8.0
    budget_delta: Annotated[float, Field(gt=0, le=1e-4)] = 1e-5


class LeaveSection(Section):
    """Who lets an update out, and what the consortium learns when this silo declines.

    Attributes:
        approval: `none`: the policy alone; `each`: a person approves each update.
        tell: `codes`: that it declines and the codes; `refused`: only that; `nothing`.
        figures: Whether what the gate measured of a release may leave, encrypted for a sum.
    """

    approval: Literal["none", "each"] = "none"
    tell: Literal["codes", "refused", "nothing"] = "codes"
    figures: Literal["nothing", "encrypted"] = "nothing"


class Policy(Section):
    """What may be asked of a silo. Without a file, everything in it has its default.

    Attributes:
        version: Counted up by whoever changes the file; a lower one is not believed any more.
        gate: In place of the configuration's section, where the file has one.
    """

    version: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1
    ask: AskSection = AskSection()
    peers: PeersSection = PeersSection()
    privacy: PrivacySection = PrivacySection()
    leave: LeaveSection = LeaveSection()
    gate: GateSection | None = None


DEFAULT = Policy()


def parse_policy(content: bytes, path: Path) -> Policy:
    """Reads a policy file's bytes.

    Args:
        content: The bytes whose signature was, or is to be, checked.
        path: For the sentences.

    Raises:
        Stop: It is no TOML, or it has faults: all of them, each with its path.
    """
    return parse_toml(Policy, content, path, "config_templates/policy.toml")


def read_policy(path: Path) -> tuple[Policy, bytes]:
    """Reads a policy file, and returns its bytes, too.

    Raises:
        Stop: The file cannot be read, or as `parse_policy`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read the policy {path}: {error.strerror}.") from error
    return parse_policy(content, path), content
