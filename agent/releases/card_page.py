"""The model card as one HTML page for chemists: what it predicts, how well, and where."""

from collections.abc import Iterator

from agent.page.markup import Html, counted, join, tag
from agent.page.shell import page, table
from agent.releases.card import ModelCard, TaskCard
from agent.releases.card_plots import calibration, curve, errors
from agent.releases.choice import choice, reason

_LEVEL = 0.9
_CHOICES = {
    "federated": "federated",
    "personal": "personal",
    "local": "made here alone",
    "average": "average",
    "": "",
}


def card_page(card: ModelCard) -> bytes:
    """Returns the page, in UTF-8."""
    return page(f"Model card {card.release_id}", _sections(card))


def _sections(card: ModelCard) -> Iterator[Html]:
    yield _summary(card)
    yield _how_to_read()
    yield tag("section", tag("h2", "At a glance"), _overview(card))
    cards = [_task(task) for task in card.tasks]
    yield tag("section", tag("h2", "Endpoint by endpoint"), tag("div", *cards, class_="cards"))
    yield _making(card)


def _summary(card: ModelCard) -> Html:
    measured = [task for task in card.tasks if task.n_test and task.error_release is not None]
    figures: list[tuple[str, str]] = [(f"{len(card.tasks)}", "endpoints")]
    if card.window:
        figures.append((f"{card.window.compounds:,}", "compounds measured here"))
    compared = [task for task in measured if task.error_local is not None]
    if compared:
        better = sum((t.error_release or 0) <= (t.error_local or 0) for t in compared)
        figures.append((f"{better} of {len(compared)}", "no worse than made here alone"))
    if coverage := _coverages(card):
        mean = sum(coverage) / len(coverage)
        figures.append((f"{mean:.0%}", "of newest values in 90% intervals"))
    items = [tag("li", tag("b", value), what) for value, what in figures]
    when = card.gated[:16].replace("T", " ")
    said = f"Release {card.release_id}, version {card.version}. Checked on this site {when} UTC."
    return join(
        tag("h1", "Model card"),
        tag("p", said, class_="soft"),
        tag("ul", *items, class_="figures"),
    )


def _coverages(card: ModelCard) -> list[float]:
    found = [_coverage(task) for task in card.tasks]
    return [coverage for coverage in found if coverage is not None]


def _coverage(task: TaskCard) -> float | None:
    levels = task.confidence.levels if task.confidence else ()
    return next((lv.observed for lv in levels if abs(lv.predicted - _LEVEL) < 1e-6), None)


def _how_to_read() -> Html:
    lines = (
        (
            "Error",
            "how far predictions were from measurements of this site that no model was trained "
            "on. For numbers it is the mean distance on the scale that is modelled: on a log10 "
            "scale, 0.3 is a factor of two. For classes it is 1 - AUROC, 0.5 for a coin.",
        ),
        (
            "Interval",
            "is drawn so that nine measured values in ten lie inside it. The plot of each endpoint "
            "shows how many of the newest ones did.",
        ),
        (
            "Inside",
            "the model knows compounds like this one: it resembles a measured compound at least as "
            "much as the limit says. Outside, take the number as a hint.",
        ),
    )
    rows = [join(tag("dt", name), tag("dd", said)) for name, said in lines]
    return tag("section", tag("h2", "How to read it"), tag("dl", *rows, class_="read"))


def _overview(card: ModelCard) -> Html:
    heads = (("whole", "endpoint"), ("whole", "head"), ("n", "learned from"), ("n", "judged on"),
             ("n", "alone"), ("n", "release"), ("n", "change"), ("n", "in 90%"))  # fmt: skip
    rows = []
    for task in card.tasks:
        coverage = _coverage(task)
        rows.append(
            (
                task.name,
                _CHOICES[choice(task)] or "–",
                f"{task.n_train:,}",
                f"{task.n_test:,}",
                _figure(task.error_local),
                _figure(task.error_release),
                _change(task),
                "–" if coverage is None else f"{coverage:.0%}",
            )
        )
    return table(heads, rows)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _change(task: TaskCard) -> str:
    if not task.error_local or task.error_release is None:
        return "–"
    change = task.error_release / task.error_local - 1
    said = f"{change:+.0%}".replace("-", "−")
    return tag("span", said, class_="wait" if change > 0 else "good")


def _task(task: TaskCard) -> Html:
    state = _CHOICES[choice(task)]
    marks = [tag("span", state, class_="state soft")] if state else []
    unit = f" · {task.unit}" if task.unit else ""
    if task.kind == "classification":
        unit = " · probability"
    shared = " · private" if task.private else " · shared"
    return tag(
        "article",
        tag("header", tag("h3", task.name), *marks),
        tag("p", tag("code", task.task), f"{unit}{shared}", class_="soft"),
        *_plots(task),
        _facts(task),
        class_="card",
    )


def _plots(task: TaskCard) -> Iterator[Html]:
    made = False
    for title, plot in (
        (f"{task.metric} on measurements held out", errors(task)),
        ("Share of the newest values in their intervals", calibration(task)),
        ("Mean error against similarity; shaded: inside", curve(task)),
    ):
        if plot is not None:
            made = True
            yield tag("h4", title)
            yield plot
    if not made:
        yield tag("p", "Too little was measured here to judge it.")


def _facts(task: TaskCard) -> Html:
    known = task.confidence
    facts = [
        ("head", reason(task)),
        ("labels", f"{task.n_train:,} learned from, {task.n_test:,} held out"),
    ]
    if known and known.width is not None:
        pooled = " Few labels: all endpoints together set it, and it is wide." * known.pooled
        said = f"±{known.width / 2:.2g} on average, from {counted(known.n, 'label')}.{pooled}"
        facts.append(("interval", said))
    if known:
        spread = f", members within {known.spread:.2g}" if known.spread is not None else ""
        facts.append(("inside", f"similarity {known.similarity:.2f} or more{spread}"))
    return tag("dl", *[join(tag("dt", name), tag("dd", said)) for name, said in facts if said])


def _making(card: ModelCard) -> Html:
    facts = [("plan", card.plan_id), ("made", card.created[:16].replace("T", " ") + " UTC")]
    if card.window and card.window.first:
        facts.append(("data", f"{card.window.first} to {card.window.last}"))
    if card.window:
        facts.append(("labels", f"{card.window.labels:,}"))
    if card.cost:
        cost = f"{card.cost.seconds:,.0f} s, {card.cost.peak_mb:,.0f} MB at most, on this host"
        facts.append(("cost", cost))
    facts.append(("network", " – ".join(str(width) for width in card.network.hidden)))
    facts.append(("features", f"{card.features.version}, {card.features.hash_size:,} columns"))
    if card.recipe:
        facts.append(
            (
                "recipe",
                f"{card.recipe.rounds} rounds of {counted(card.recipe.local_epochs, 'epoch')}, "
                f"then {counted(card.recipe.finetune_epochs, 'epoch')} here",
            )
        )
    rows = [join(tag("dt", name), tag("dd", said)) for name, said in facts]
    return tag("section", tag("h2", "How it was made"), tag("dl", *rows))
