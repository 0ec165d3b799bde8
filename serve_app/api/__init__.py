"""HTTP: bodies in, Results and problems out."""

from serve_app.api.app import create_app

__all__ = ["create_app"]
