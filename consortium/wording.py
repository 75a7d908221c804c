"""What a proposal changes, in words, for the person who is about to sign it."""

from collections.abc import Iterator

from agent.wire.documents import Catalogue, Member, Plan, Privacy, Roster, TrustRoot
from agent.wire.roster import key_of, member_of
from agent.wire.signed import parse
from agent.wire.token import fingerprint
from consortium.proposals import Proposal, base_roster, contents, kind_of, root_hash, root_of

_PURPOSES = ("sign", "seal", "courier")


def describe_proposal(proposal: Proposal) -> list[str]:
    """Says in lines what would change, each with the fingerprint to compare where keys are new.

    Raises:
        Refused: The roster that it starts from was not signed by the officers, or a code of the
            documents' parsers.
    """
    root = root_hash(proposal)
    lines = [f"Trust root in force: version {root_of(proposal).version}, {root}"]
    for content in contents(proposal):
        payload = parse(content).payload
        match kind_of(content):
            case "root":
                lines += _root(root_of(proposal), TrustRoot.parse(payload))
            case "roster":
                lines += _roster(base_roster(proposal), Roster.parse(payload), root)
            case "catalogue":
                lines += _catalogue(Catalogue.parse(payload))
            case _:
                lines += _plan(Plan.parse(payload))
    return lines


def _root(old: TrustRoot, new: TrustRoot) -> Iterator[str]:
    yield f"Trust root {old.version} becomes {new.version}, until {new.expires}:"
    for role in sorted(set(old.roles) | set(new.roles)):
        before, after = old.roles.get(role), new.roles.get(role)
        held = set(before.keys) if before else set()
        coming = set(after.keys) if after else set()
        need = (before.threshold if before else 0, after.threshold if after else 0)
        yield from (f"  {role}: key {name[:16]} leaves" for name in sorted(held - coming))
        yield from (f"  {role}: key {name[:16]} comes in" for name in sorted(coming - held))
        if need[0] != need[1]:
            yield f"  {role}: {need[1]} signatures instead of {need[0]}"


def _roster(old: Roster | None, new: Roster, root: str) -> Iterator[str]:
    was = f"Roster {old.version} becomes" if old else "A first roster,"
    yield f"{was} {new.version}, until {new.expires}:"
    for one in new.members:
        yield from _member(member_of(old, one.silo) if old else None, one, root)
    gone = [one.silo for one in old.members if not member_of(new, one.silo)] if old else []
    yield from (f"  {silo}: is LEFT OUT, which no aggregator publishes" for silo in gone)


def _member(old: Member | None, new: Member, root: str) -> Iterator[str]:
    mark = fingerprint(root, new.sign_key, new.seal_key, new.courier_key)
    if old is None:
        entity = f" ({new.legal_entity})" if new.legal_entity else ""
        yield f"  {new.silo}{entity}: is admitted until {new.expires}; fingerprint {mark}"
        return
    if new.revoked and not old.revoked:
        yield f"  {new.silo}: is REVOKED for good"
    if old.revoked and not new.revoked:
        yield f"  {new.silo}: its revocation is TAKEN BACK, which no aggregator publishes"
    changed = [one for one in _PURPOSES if key_of(old, one) != key_of(new, one)]
    if changed:
        yield f"  {new.silo}: new key to {', '.join(changed)}; fingerprint {mark}"
    if old.expires != new.expires:
        yield f"  {new.silo}: stays until {new.expires}"
    if old.legal_entity != new.legal_entity:
        yield f"  {new.silo}: is called {new.legal_entity!r} instead of {old.legal_entity!r}"


def _catalogue(new: Catalogue) -> Iterator[str]:
    yield f"Catalogue {new.version}: {len(new.endpoints)} endpoints"


def _privacy(new: Plan) -> str:
    asked, rules = new.privacy, new.privacy.masking
    words: str = asked.mode
    if not isinstance(asked, Privacy):
        words += f", epsilon {asked.epsilon:g} at delta {asked.delta:g} for all rounds"
    if rules is None:
        return words
    cap = 1.0 if new.recipe.weighting == "uniform" else new.recipe.weight_cap
    bound = f"weight {cap:g} x {rules.clip:g}"
    return f"{words}, masked sums of {rules.n_min} silos or more, each adding at most {bound}"


def _plan(new: Plan) -> Iterator[str]:
    yield (
        f"Plan {new.plan_id} version {new.version}, {new.not_before} to {new.expires}: "
        f"{new.recipe.rounds} rounds of {len(new.participants)} silos "
        f"({', '.join(new.participants)}), quorum {new.quorum}, {len(new.endpoints)} endpoints, "
        f"privacy {_privacy(new)}"
    )
    if new.start_sha256 is not None:
        yield f"  starts from the weights with SHA-256 {new.start_sha256}"
