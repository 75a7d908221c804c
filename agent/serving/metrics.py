"""Counts and durations for Prometheus; never a structure, and no label that a caller chooses."""

from collections.abc import Collection

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one app, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "onggi_predict_requests", "Requests.", ["route", "status"], registry=self._registry
        )
        self._molecules = Counter(
            "onggi_predict_molecules", "Structures.", ["outcome"], registry=self._registry
        )
        self._seconds = Histogram(
            "onggi_predict_seconds",
            "Seconds from the body read to the answer rendered.",
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._release = Gauge(
            "onggi_predict_release_info",
            "1 for the release that answers.",
            ["release", "version"],
            registry=self._registry,
        )

    def request(self, route: str, status: int) -> None:
        """Counts a request; `route` is one of the app's own paths, or `other`."""
        self._requests.labels(route, str(status)).inc()

    def predicted(self, good: int, refused: int, seconds: float) -> None:
        """Counts the structures of one call and how long it took."""
        self._molecules.labels("predicted").inc(good)
        self._molecules.labels("refused").inc(refused)
        self._seconds.observe(seconds)

    def render(self, release: str | None, version: int | None) -> bytes:
        """Writes everything in Prometheus' text format.

        Args:
            release: The id of the release that answers now, or None.
            version: Its version.
        """
        self._release.clear()
        if release is not None:
            self._release.labels(release, str(version)).set(1)
        return generate_latest(self._registry)


def metrics_of(app: FastAPI) -> Metrics:
    """Returns the figures that the app left in its state, for its rooms."""
    metrics: Metrics = app.state.metrics
    return metrics


class CountedRequests:
    """Counts each answer as it starts; plain ASGI, since Starlette's own base costs as much again.

    Args:
        app: What answers.
        metrics: Where to count.
        routes: The paths that get a label of their own.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request and counts it."""
        path = scope.get("path", "")
        route = path if path in self._routes else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.request(route, message["status"])
            await send(message)

        await self._app(scope, receive, counted)
