"""GET /docs: the API's description to read and try, from files of our own; no network is needed."""

import re
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

import serve_app

__all__ = ["install"]

_WEB: Final = Path(serve_app.__file__).parent / "web"
# A version in the path: what is there never changes.
_VERSIONED: Final = re.compile(r"(^|/)[\w-]+-\d+\.\d+\.\d+/")
_YEAR_S: Final = 31_536_000
# Swagger UI draws with style attributes and pictures in data: addresses, and runs no inline script.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_SECURE: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class _Assets(StaticFiles):
    """Static files with the headers that go with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        forever = _VERSIONED.search(path) is not None
        age = f"public, max-age={_YEAR_S}, immutable" if forever else "no-cache"
        response.headers.update({**_SECURE, "Cache-Control": age})
        return response


async def _docs(request: Request) -> Response:  # noqa: ARG001 - Starlette's signature
    headers = {**_SECURE, "Cache-Control": "no-cache"}
    return FileResponse(_WEB / "docs.html", headers=headers)


def install(app: FastAPI) -> None:
    """Add /docs, and the files it is made of under /web."""
    app.add_route("/docs", _docs, methods=["GET"], include_in_schema=False)
    app.mount("/web", _Assets(directory=_WEB), name="web")
