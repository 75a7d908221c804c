"""Why a head is personal, federated or an average: one sentence from its card."""

from collections.abc import Sequence

from agent.releases.card import TaskCard, Way

_WHOLE = 0.995  # a share that is shown as 100 %
_NAMES = {
    "federated": "the consortium's model",
    "personal": "its copy fitted here",
    "local": "the model made here alone",
}


def choice(task: TaskCard) -> str:
    """Returns `personal`, `federated`, `local` or `average`; empty where the card does not say."""
    used = _used(task.ways)
    if not used:
        return ""
    return used[0].name if used[0].share >= _WHOLE else "average"


def reason(task: TaskCard) -> str:
    """Says in a sentence what the head is made of and why; empty where the card does not say."""
    used = _used(task.ways)
    if not used:
        return ""
    if task.private:
        return f"only this silo has this endpoint, so its head is fitted here{_errors(task)}."
    if not task.n_train:
        return f"{_NAMES[used[0].name]}; nothing to learn from is measured here."
    parts = [f"{way.share:.0%} {_NAMES[way.name]}" for way in used]
    said = _NAMES[used[0].name] if choice(task) != "average" else ", ".join(parts)
    return f"{said}{_errors(task)}."


def _used(ways: Sequence[Way]) -> list[Way]:
    return sorted((way for way in ways if way.share > 0), key=lambda way: -way.share)


def _errors(task: TaskCard) -> str:
    errors: dict[str, float] = {w.name: w.error for w in task.ways if w.error is not None}
    if task.average_error is not None:
        errors["average"] = task.average_error
    if len(errors) < 2:
        if task.private:
            return ""
        return ", as the plan says; it was not compared on this silo's labels"
    figures = ", ".join(
        f"{name} {errors[name]:.3g}" for name in sorted(errors, key=errors.__getitem__)
    )
    why = ""
    if task.average_error is not None:
        kept = choice(task) == "average"
        why = (
            "; no other is better beyond chance"
            if kept
            else "; better than the average beyond chance"
        )
    on = f" ({task.n_compared:,} newest labels)" if task.n_compared else ""
    return f"{why}; {task.metric} where the choice was made{on}: {figures}"
