"""ECG-FM Serve: from the bytes of an electrocardiogram to the answers of ECG-FM.

Research use only: not a medical device.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("ecg-fm-serve")


def __getattr__(name: str) -> object:
    """`serve run serve_app:app`: the application, with settings from the environment."""
    if name != "app":
        raise AttributeError(name)
    from deployments.app import build_app
    from serve_app.settings import load_settings

    return build_app(load_settings())
