"""The extra that figures need: said what to install, not where an import failed."""

import importlib

from serve_app.errors import NotInstalled

__all__ = ["require_extra"]


def require_extra(*libraries: str) -> None:
    """Import what comes with the extra ``evaluate``.

    Raises:
        NotInstalled: One of them is missing.
    """
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise NotInstalled(
                f"Evaluation needs {library}, which is not installed.",
                hint="pip install 'ecg-fm-serve[evaluate]'",
            ) from error
