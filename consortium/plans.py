"""Plans: a draft by a person, completed with what only the aggregator knows."""

import math
import secrets
import tomllib
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.errors import Refused, Stop
from agent.wire import strict_json
from agent.wire.documents import (
    Catalogue,
    Count,
    Document,
    FeatureSpec,
    Finite,
    LocalNoise,
    Name,
    NetworkSpec,
    Plan,
    Privacy,
    Recipe,
    Roster,
    Sha256,
    SharedNoise,
)
from agent.wire.masking.sharing import check_room
from agent.wire.network import expected_shapes
from agent.wire.robust import check_visible
from consortium.enrol import reference
from consortium.folder import Settings
from consortium.rounds import Attempt, round_id
from consortium.store import catalogue, members, newest, roster
from consortium.tables import PlanRow

_QUORUM_SHARE = 2 / 3
_LONGEST_NAME = 63
_MOST_ATTEMPTS = 9999


class Draft(Document):
    """What a person writes in JSON or TOML; everything else is filled in.

    Attributes:
        plan_id: Short name, unique for ever.
        endpoints: Catalogue ids; all of the catalogue when left out.
        features: The feature specification; left out, the agent's default.
        reference_sha256: Left out, the one that the members reproduced when they enrolled.
        network, recipe, privacy: As in the plan.
        participants: Silos; left out, every member.
        quorum: Left out, two thirds of the participants, rounded up.
        round_deadline_s: How long a round waits.
        valid_days: How long the plan lasts.
        fold_key: Decides which compounds every silo holds out; left out, the key of the newest
            plan, so that no held-out compound of one plan is trained on under the next.
        seal_profile: `hybrid` needs participants who have a post-quantum key.
    """

    plan_id: Name
    version: Count = 1
    endpoints: tuple[str, ...] = ()
    features: FeatureSpec | None = None
    reference_sha256: Sha256 | None = None
    network: NetworkSpec = NetworkSpec(hidden=(256, 128), dropout=0.1, seed=1)
    recipe: Recipe = Recipe(
        rounds=10,
        local_epochs=2,
        batch_size=128,
        learning_rate=0.002,
        weight_decay=0.0001,
        weighting="sqrt_n",
        server_momentum=0.0,
        release_every=5,
        finetune_epochs=5,
    )
    privacy: Annotated[Privacy | LocalNoise | SharedNoise, Field(discriminator="mode")] = Privacy()
    participants: tuple[Name, ...] = ()
    quorum: Count | None = None
    round_deadline_s: Annotated[Finite, Field(gt=0)] = 86_400.0
    valid_days: Annotated[Finite, Field(gt=0, le=3650)] = 90.0
    fold_key: Sha256 | None = None
    seal_profile: Literal["classic", "hybrid"] = "classic"

    def adjusted(
        self, rounds: int | None, quorum: int | None, round_deadline_s: float | None
    ) -> "Draft":
        """Returns the draft with what is not None put in."""
        recipe = self.recipe.model_copy(update={"rounds": rounds or self.recipe.rounds})
        return self.model_copy(
            update={
                "recipe": recipe,
                "quorum": quorum or self.quorum,
                "round_deadline_s": round_deadline_s or self.round_deadline_s,
            }
        )


def default_features() -> FeatureSpec:
    """Returns the agent's default feature specification, which a test keeps equal to it."""
    content = resources.files("consortium").joinpath("features.json").read_bytes()
    return FeatureSpec.parse(content)


def read_draft(path: Path) -> Draft:
    """Reads a draft; `.toml` is TOML, anything else JSON.

    Raises:
        Stop: The file cannot be read, or says something that a draft must not.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".toml":
            content = strict_json.dumps(tomllib.loads(content.decode()))
        return Draft.parse(content)
    except OSError as error:
        raise Stop(f"Cannot read {path}; name a plan draft in JSON or TOML.") from error
    except Refused as error:
        raise Stop(f"{path}: {error.reason}") from error
    except (ValueError, TypeError) as error:
        raise Stop(f"{path} is no valid TOML in UTF-8, or holds a date: {error}") from error


def complete(session: Session, draft: Draft, settings: Settings, now: datetime) -> Plan:
    """Completes a draft with what only the aggregator knows; the officers sign the result.

    Raises:
        Refused: `plan_exists`, `unknown_endpoint`, `no_members`, `unknown_member`,
            `bad_quorum`, `untrained_member`, `no_reference`, `no_post_quantum_key`,
            `plan_id_too_long`, `weighting_tells`, or a code of `expected_shapes`, of
            `check_visible` or of `masking.sharing.check_room`.
    """
    if session.get(PlanRow, draft.plan_id) is not None:
        raise Refused("plan_exists", f"There is a plan {draft.plan_id}; choose another id.")
    endpoints = _endpoints(catalogue(session), draft.endpoints)
    enrolled = [row.silo for row in members(session) if not row.revoked]
    participants = _participants(enrolled, draft.participants)
    features = draft.features or default_features()
    expected_shapes(draft.network, features, endpoints)
    _check_name(draft)
    _check_members(draft)
    _check_profile(draft, roster(session), participants)
    _check_noise(draft, len(participants))
    check_visible(draft.recipe, masked=draft.privacy.masking is not None)
    return Plan(
        consortium=settings.consortium,
        plan_id=draft.plan_id,
        version=draft.version,
        catalogue_sha256=newest(session, "catalogue").payload_sha256,
        endpoints=endpoints,
        features=features,
        reference_sha256=_reference(session, settings, draft.reference_sha256),
        network=draft.network,
        recipe=draft.recipe,
        privacy=draft.privacy,
        participants=participants,
        quorum=_quorum(len(participants), draft.quorum),
        round_deadline_s=draft.round_deadline_s,
        fold_key=draft.fold_key or _last_fold_key(session) or secrets.token_hex(32),
        not_before=to_text(now),
        expires=to_text(now + timedelta(days=draft.valid_days)),
        seal_profile=draft.seal_profile,
    )


def _endpoints(known: Catalogue, wanted: tuple[str, ...]) -> tuple[str, ...]:
    names = [endpoint.id for endpoint in known.endpoints]
    if strange := sorted(set(wanted) - set(names)):
        raise Refused("unknown_endpoint", f"The catalogue has no endpoint {strange[0]!r}.")
    return wanted or tuple(names)


def _participants(enrolled: Sequence[str], wanted: tuple[str, ...]) -> tuple[str, ...]:
    if strange := sorted(set(wanted) - set(enrolled)):
        raise Refused("unknown_member", f"No silo {strange[0]!r} is enrolled.")
    if not enrolled:
        raise Refused("no_members", "No silo is enrolled yet; hand out tokens first.")
    return tuple(sorted(set(wanted or enrolled)))


def _check_profile(draft: Draft, known: Roster, participants: Sequence[str]) -> None:
    able = {one.silo for one in known.members if one.pq_sign_key is not None}
    if draft.seal_profile == "hybrid" and (lacks := sorted(set(participants) - able)):
        raise Refused(
            "no_post_quantum_key", f"Silo {lacks[0]} has no post-quantum key; leave it out."
        )


def _quorum(participants: int, wanted: int | None) -> int:
    quorum = wanted or math.ceil(participants * _QUORUM_SHARE)
    if quorum > participants:
        raise Refused(
            "bad_quorum", f"A quorum of {quorum} cannot be met by {participants} participants."
        )
    return quorum


def _reference(session: Session, settings: Settings, wanted: str | None) -> str:
    known = reference(session, settings)
    if wanted is not None and known is not None and wanted != known:
        raise Refused("no_reference", "The members reproduce another feature reference set.")
    found = wanted or known
    if found is None:
        raise Refused("no_reference", "The draft names no feature reference set's hash; add it.")
    return found


def _last_fold_key(session: Session) -> str | None:
    plans = [Plan.parse(row.payload) for row in session.scalars(select(PlanRow))]
    return max(plans, key=lambda plan: plan.not_before).fold_key if plans else None


def _check_members(draft: Draft) -> None:
    if draft.recipe.release_every < draft.network.members > 1:
        raise Refused(
            "untrained_member",
            f"The plan has {draft.network.members} networks, which rounds train in turn; a release "
            "after fewer rounds would hold one that nobody trained. Raise recipe.release_every.",
        )


def _check_noise(draft: Draft, silos: int) -> None:
    if draft.privacy.mode != "none" and draft.recipe.weighting != "uniform":
        raise Refused(
            "weighting_tells",
            'A plan with noise needs `weighting = "uniform"`: any other weight tells how many '
            "compounds a silo has.",
        )
    if isinstance(draft.privacy, SharedNoise):
        check_room(draft.privacy, draft.recipe, silos)


def _check_name(draft: Draft) -> None:
    longest = round_id(draft.plan_id, Attempt(draft.recipe.rounds, _MOST_ATTEMPTS))
    if len(longest) > _LONGEST_NAME:
        raise Refused("plan_id_too_long", "The plan's id is too long for its rounds' ids.")
