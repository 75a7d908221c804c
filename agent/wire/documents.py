"""The documents of the protocol, as frozen models that refuse what they do not know.

Every one travels as a signed container (`agent.wire.signed`) and is parsed only after its
signature was checked over the very bytes received.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent.wire.document import Count as Count
from agent.wire.document import Document as Document
from agent.wire.document import Finite as Finite
from agent.wire.document import KemKeyHex as KemKeyHex
from agent.wire.document import KeyHex as KeyHex
from agent.wire.document import Moment as Moment
from agent.wire.document import Name as Name
from agent.wire.document import PqKeyHex as PqKeyHex
from agent.wire.document import Sha256 as Sha256
from agent.wire.enrolment import Enrolment as Enrolment
from agent.wire.enrolment import EnrolmentPending as EnrolmentPending
from agent.wire.enrolment import EnrolmentRequest as EnrolmentRequest
from agent.wire.enrolment import EnrolmentResponse as EnrolmentResponse
from agent.wire.enrolment import EnrolmentToken as EnrolmentToken
from agent.wire.enrolment import RotationRequest as RotationRequest
from agent.wire.masking.terms import MaskRules as MaskRules
from agent.wire.masking.terms import MaskTerms as MaskTerms
from agent.wire.noise import LocalNoise as LocalNoise
from agent.wire.noise import PaidNoise as PaidNoise
from agent.wire.noise import PaidShare as PaidShare
from agent.wire.noise import SharedNoise as SharedNoise
from agent.wire.recipe import Recipe as Recipe


class RoleKeys(Document):
    """Which keys may sign for one role, and how many of them must."""

    threshold: Count
    keys: dict[Sha256, KeyHex]


class TrustRoot(Document):
    """The first trust of a silo: the keys of the consortium by role.

    Roles: `root`, `roster`, `plan` (plans and catalogues), `aggregator` (rounds, receipts,
    refusals). Releases have a repository with roots of its own (`wire.repository`).

    Attributes:
        release_root_sha256: SHA-256 of the release repository's first root file; without it no
            release can be believed.
    """

    kind: Literal["root"] = "root"
    consortium: Name
    version: Count
    roles: dict[str, RoleKeys]
    release_root_sha256: Sha256 | None = None
    expires: Moment


class Member(Document):
    """One silo in the roster, with the public half of each of its keys (one key, one purpose).

    Attributes:
        retiring_sign_key: The signing key before the present one, as long as an envelope that it
            signed may still be under way; empty otherwise.
        retired: When it was replaced.
        pq_sign_key: The silo's ML-DSA-65 key, for plans with the hybrid profile.
    """

    silo: Name
    legal_entity: str
    sign_key: KeyHex
    seal_key: KeyHex
    courier_key: KeyHex
    not_before: Moment
    expires: Moment
    revoked: bool = False
    retiring_sign_key: KeyHex | None = None
    retired: Moment | None = None
    pq_sign_key: PqKeyHex | None = None


class Roster(Document):
    """Who takes part, signed by the consortium's offline keys."""

    kind: Literal["roster"] = "roster"
    consortium: Name
    version: Count
    issued: Moment
    expires: Moment
    members: tuple[Member, ...]


class AssayRule(Document):
    """Which readings an endpoint takes, in the words of the K-MELLODDY standard format.

    Case, blanks, underscores and inner hyphens do not count. In every field `|` parts
    alternatives, `-` stands for an empty field and `*` for any. A field that is left empty takes
    anything; an empty `subject` or `condition` takes only an empty one, so that species and pH
    are joined by a word of the catalogue and never by its silence.

    Attributes:
        condition: An alternative lists `key=value` terms joined by `;`, which must be met as they
            stand; `key=*` lets that key have any value or be missing, `*` lets any other key.
            Example: `ph=7.4; conc_um=*; temp_c=*`.
    """

    test: str = ""
    test_type: str = ""
    subject: str = ""
    readout: str = ""
    condition: str = ""


class UnsharedAssay(Document):
    """Readings that no endpoint takes on purpose, and the sentence that says why."""

    rule: AssayRule
    reason: Annotated[str, Field(min_length=1, max_length=300)]


class Endpoint(Document):
    """A measured property: what its numbers mean and where they may lie.

    Attributes:
        id: Short name used as a head's name and in answers.
        group: A, D, M, E, T or P (physical chemistry).
        unit: Canonical unit of native values; empty for a class.
        transform: From native to model scale; `log10_plus_1` is log10(max(y, 0) + 1).
        low, high: Plausible native range, inclusive; outside it a row is set aside.
        positive, negative: Words that mean 1 and 0 for a class, lower case.
        max_replicate_sd: Standard deviation of a compound's replicates, on the transformed scale,
            above which they are flagged as disagreeing.
        synonyms: What the endpoint's column is called in the field, for suggestions of profiles.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    name: str
    group: Literal["A", "D", "M", "E", "T", "P"]
    kind: Literal["regression", "classification"]
    unit: str = ""
    transform: Literal["identity", "log10", "neg_log10_molar", "log10_plus_1"] = "identity"
    low: Finite = 0.0
    high: Finite = 1.0
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    rules: tuple[AssayRule, ...] = ()
    max_replicate_sd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    synonyms: tuple[str, ...] = ()


class Catalogue(Document):
    """The endpoints that the consortium shares, signed like a plan.

    Attributes:
        unshared: Assays that are known and not shared: their rows are kept and reported.
    """

    kind: Literal["catalogue"] = "catalogue"
    consortium: Name
    version: Count
    endpoints: tuple[Endpoint, ...]
    unshared: tuple[UnsharedAssay, ...] = ()


class Scaling(Document):
    """One descriptor and its published scaling: (x - centre) / spread, clipped to +-limit."""

    name: str
    centre: Finite
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FeatureSpec(Document):
    """How a structure becomes numbers; the same at every silo, in training and in serving."""

    version: Literal["onggi-fast-1"]
    radius: Annotated[int, Field(ge=0, le=4)]
    hash_size: Annotated[int, Field(ge=256, le=4096)]
    descriptors: tuple[Scaling, ...]
    clip: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class NetworkSpec(Document):
    """A shared trunk over hashed counts and descriptors; one linear head a task.

    Attributes:
        members: Networks of this shape that rounds train in turn (`agent.wire.members`).
    """

    kind: Literal["sparse_trunk"] = "sparse_trunk"
    hidden: tuple[Annotated[int, Field(ge=8, le=4096)], ...]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)]
    members: Annotated[int, Field(ge=1, le=8)] = 1

    def single(self) -> "NetworkSpec":
        """Returns the shape of one member."""
        return self.model_copy(update={"members": 1})


class Privacy(Document):
    """What protects a single update: no noise. `LocalNoise` and `SharedNoise` are other modes.

    Attributes:
        mode: The noise that is added.
        masking: The rules of secure aggregation, or None where the aggregator sees each update.
    """

    mode: Literal["none"] = "none"
    masking: MaskRules | None = None


class Plan(Document):
    """A declarative training plan: what, with which network, by whom, until when.

    Attributes:
        seal_profile: Whether updates are sealed and signed with X25519 and Ed25519 alone, or with
            ML-KEM-768 and ML-DSA-65 as well.
        start_sha256: The weights of the first round; None for those that the network's seed gives.
    """

    kind: Literal["plan"] = "plan"
    consortium: Name
    plan_id: Name
    version: Count
    catalogue_sha256: Sha256
    endpoints: tuple[str, ...]
    features: FeatureSpec
    reference_sha256: Sha256
    network: NetworkSpec
    recipe: Recipe
    privacy: Annotated[Privacy | LocalNoise | SharedNoise, Field(discriminator="mode")]
    participants: tuple[Name, ...]
    quorum: Count
    round_deadline_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    fold_key: Sha256
    not_before: Moment
    expires: Moment
    seal_profile: Literal["classic", "hybrid"] = "classic"
    start_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _says_no_number(self) -> Self:
        if self.privacy.mode != "none" and self.recipe.weighting != "uniform":
            raise ValueError("with noise the weighting is uniform: any other tells of compounds")
        return self


class RoundManifest(Document):
    """One round of a plan: the weights to start from and the key to seal for.

    Attributes:
        kem_key: The ML-KEM-768 half of the key, under a plan with the hybrid profile only.
        masking: How updates are masked, under a plan that asks for it only.
    """

    kind: Literal["round"] = "round"
    consortium: Name
    round_id: Name
    plan_id: Name
    plan_sha256: Sha256
    number: Count
    attempt: Count
    base_sha256: Sha256
    base_bytes: Count
    seal_key: KeyHex
    participants: tuple[Name, ...]
    opens: Moment
    deadline: Moment
    kem_key: KemKeyHex | None = None
    masking: MaskTerms | None = None


class ReleaseManifest(Document):
    """A published model: weights by hash, where they came from, and what it replaces.

    Not signed itself: the release repository lists it by hash (`wire.repository`), and the channel
    that lists it is its channel.

    Attributes:
        golden_sha256, golden_bytes: The golden molecules (`wire.golden`), an object like the
            weights; None and 0 where the plan's features allow none.
    """

    kind: Literal["release"] = "release"
    consortium: Name
    release_id: Name
    version: Count
    plan_id: Name
    plan_sha256: Sha256
    round_id: Name
    weights_sha256: Sha256
    weights_bytes: Count
    heads: tuple[str, ...]
    contributors: Count
    created: Moment
    expires: Moment
    golden_sha256: Sha256 | None = None
    golden_bytes: Annotated[int, Field(ge=0, le=1 << 20)] = 0


class UpdateCore(Document):
    """What an envelope says in the open: everything that binds it, nothing about the data.

    Attributes:
        sequence: Counts this silo's envelopes, for people; replay is refused by
            (silo, round_id, type, attempt) and by hash.
        recipient: SHA-256 of the round's sealing key.
        commitment: To the blob key; with the blob's hash it commits to the plaintext.
        egress_head: Root of the silo's egress log before this envelope (`wire.merkle`).
        crit: Names of extensions that a reader must understand; unknown ones are refused.
    """

    v: Literal[1] = 1
    type: Literal["update"] = "update"
    consortium: Name
    silo: Name
    sequence: Count
    roster_version: Count
    roster_sha256: Sha256
    plan_id: Name
    round_id: Name
    attempt: Count
    base_sha256: Sha256
    feature_sha256: Sha256
    reference_sha256: Sha256
    agent_version: str
    created: Moment
    expires: Moment
    recipient: Sha256
    commitment: Sha256
    quantization: Literal["float32"] = "float32"
    privacy: Annotated[Privacy | PaidNoise | PaidShare, Field(discriminator="mode")]
    egress_head: Sha256
    crit: tuple[str, ...] = ()


class Receipt(Document):
    """The aggregator's word that it holds the envelope, and at which place in its log.

    Attributes:
        round_id: Empty for a statement, which belongs to no round.
    """

    kind: Literal["receipt"] = "receipt"
    consortium: Name
    silo: Name
    envelope_id: Sha256
    round_id: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,62})?$")]
    log_index: Count
    received: Moment


class Refusal(Document):
    """The aggregator's word that it will not take the envelope, and why."""

    kind: Literal["refusal"] = "refusal"
    consortium: Name
    silo: Name
    envelope_id: Sha256
    code: str
    reason: str
    refused: Moment


class ObjectRef(Document):
    """A blob of the repository by content."""

    sha256: Sha256
    bytes: Count


class FeedItem(Document):
    """One thing the consortium published, in order; the document is base64 of its container.

    `stable` and `canary` are states of the release repository (`RepositoryFiles`), the latter for
    the silos of that channel only. `handout` and `sum` belong to a masked round.
    """

    number: Count
    kind: Literal[
        "root", "roster", "catalogue", "plan", "round", "handout", "sum", "stable", "canary"
    ]
    document: str
    objects: tuple[ObjectRef, ...] = ()


class Feed(Document):
    """Answer of the feed route; it is only a list of signed things, and itself unsigned."""

    items: tuple[FeedItem, ...]
    last: Annotated[int, Field(ge=0, le=2**31 - 1)]
