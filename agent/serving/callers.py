"""Who asks: what the rooms of the HTTP process know of a caller, and what they demand of one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent.serving.problems import Problem

if TYPE_CHECKING:  # a worker loads this, too, and no framework
    from fastapi import Request

Scope = Literal["predict", "data", "admin"]
STATE = "caller"  # where whoever checks the access leaves it in a request's state


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks.

    Attributes:
        name: A token's name; `oidc:` and an identity provider's name for somebody; `local` where no
            access is checked; `anonymous` for all without a token where `serve.open` lets them in.
        scopes: What they may do.
    """

    name: str
    scopes: frozenset[Scope]


LOCAL = Caller("local", frozenset({"predict", "data", "admin"}))


def caller_of(request: "Request") -> Caller:
    """Returns who asks; everybody is `LOCAL` where no access is checked."""
    caller: Caller = getattr(request.state, STATE, LOCAL)
    return caller


def demand(request: "Request", scope: Scope) -> Caller:
    """Returns who asks, if they may.

    Raises:
        Problem: 403 `not_allowed`.
    """
    caller = caller_of(request)
    if scope not in caller.scopes:
        sentence = f"This token may not do that: it lacks the scope {scope}; ask who issued it."
        raise Problem(403, "not_allowed", sentence)
    return caller
