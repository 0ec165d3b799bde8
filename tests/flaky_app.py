"""An application that fails now and then, for clients that ask again."""

from starlette.responses import JSONResponse


class Flaky:
    """An app that fails the first times that it is asked, and remembers what it was asked."""

    def __init__(self, app):
        self.app, self.failures, self.seen = app, [], []

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.seen.append(dict(scope["headers"]))
        failure = self.failures.pop(0) if self.failures else self.app
        if failure == "cut":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ConnectionError
        await failure(scope, receive, send)

    def keys(self):
        return [headers.get(b"idempotency-key") for headers in self.seen]


def overloaded(retry_after="0"):
    body = {"status": 503, "code": "overloaded", "detail": "Full.", "hint": "Later."}
    return JSONResponse(body, 503, {"Retry-After": retry_after})
