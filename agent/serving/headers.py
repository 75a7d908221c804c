"""The headers that every answer bears, refusals and faults too."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "font-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_ALWAYS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NOT_KEPT = (*_ALWAYS, (b"cache-control", b"no-store"))  # answers about compounds stay in no cache
_ABOUT_COMPOUNDS = ("/v1/", "/v2/")


class SecurityHeaders:
    """Adds those that a route did not set; outermost, so that no fault or refusal is without.

    No CORS header is among them: no page of another origin may read an answer.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = _NOT_KEPT if scope["path"].startswith(_ABOUT_COMPOUNDS) else _ALWAYS

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = list(message.get("headers", ()))
                names = {name for name, _ in said}
                said += [header for header in added if header[0] not in names]
                message = {**message, "headers": said}
            await send(message)

        await self._app(scope, receive, headed)
