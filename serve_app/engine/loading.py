"""Settings -> the engine they ask for."""

from pathlib import Path

from serve_app.engine.protocol import Engine
from serve_app.errors import CheckpointError
from serve_app.settings import Settings

__all__ = ["fetch_model", "load_engine", "refuse_missing_model"]


def refuse_missing_model(settings: Settings) -> None:
    """Say at once, without torch, that there is no such model.

    Raises:
        CheckpointError: Settings name neither the demo nor anything that is there, or break the
            form hf:OWNER/NAME[@REVISION]. Whether the Hub has it, loading shows.
    """
    for name in (settings.model, *settings.models):
        _refuse_missing(name)


def _refuse_missing(name: str) -> None:
    if name.startswith("hf:"):
        from serve_app.model.hub import HubName

        HubName.parse(name)
    elif name != "demo" and not _is_there(name):
        raise CheckpointError(
            f"There is no model {name!r}: neither 'demo' nor a file or directory.",
            hint="A repository of the Hub is named hf:OWNER/NAME or hf:OWNER/NAME@REVISION.",
        )


def fetch_model(settings: Settings) -> None:
    """Have models of the Hub in the local cache before anything starts; without torch.

    What is wrong with one is then told at once, a progress bar has a terminal, and the replicas of
    this machine find the files. Those of other machines fetch their own.

    Raises:
        CheckpointError: There is no such model, or the Hub does not give it.
    """
    refuse_missing_model(settings)
    revisions = {settings.model: settings.model_revision}
    for name in (settings.model, *settings.models):
        if name.startswith("hf:"):
            from serve_app.model.sources import locate_model

            locate_model(name, revision=revisions.get(name), timeout_s=settings.request_timeout_s)


def load_engine(
    settings: Settings, model: str | None = None, revision: str | None = None
) -> Engine:
    """The engine that settings ask for, loaded but not yet warm.

    Args:
        settings: How it is run, and unless ``model`` says otherwise, what.
        model: Another model than that of settings, of this revision.
        revision: Of ``model``.

    Raises:
        CheckpointError: The model's files cannot be loaded, or are of another revision.
        SettingsError: The engine is not installed, or does not run in that precision here.
    """
    # Here, not above: who only names this function needs no torch.
    from serve_app.engine.choosing import choose, make_engine
    from serve_app.model.checkpoints import load_model

    if model is None:
        model, revision = settings.model, settings.model_revision
    # Mapped for now: most engines make weights of their own from it, and need no copy between.
    loaded = load_model(model, revision=revision, timeout_s=settings.request_timeout_s, mapped=True)
    engine, precision = choose(loaded, settings.engine, settings.precision)
    if engine == "torch" and loaded.source == "local" and not settings.map_weights:
        loaded = loaded.copied()
    return make_engine(loaded, engine, precision, threads=settings.model_threads)


def _is_there(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError, ValueError):  # too long, ~ of nobody, a zero byte
        return False
