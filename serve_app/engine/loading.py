"""Settings -> the engine they ask for."""

from pathlib import Path

from serve_app.engine.protocol import Engine
from serve_app.errors import CheckpointError
from serve_app.settings import Settings

__all__ = ["load_engine", "refuse_missing_model"]


def refuse_missing_model(settings: Settings) -> None:
    """Say at once, without torch, that there is no such model.

    Raises:
        CheckpointError: Settings name neither the demo nor anything that is there.
    """
    name = settings.model
    if name != "demo" and not name.startswith("hf:") and not Path(name).exists():
        raise CheckpointError(
            f"There is no model {name!r}: neither 'demo' nor a file or directory."
        )


def load_engine(settings: Settings) -> Engine:
    """The engine that settings ask for, loaded but not yet warm.

    Raises:
        CheckpointError: The model's files cannot be loaded, or are of another revision.
    """
    # Here, not above: who only names this function needs no torch.
    from serve_app.engine.torch_engine import TorchEngine, auto_precision
    from serve_app.model.checkpoints import load_model

    loaded = load_model(settings.model)
    wanted = settings.model_revision
    if wanted is not None and not loaded.sha256.startswith(wanted):
        raise CheckpointError(
            f"The model's revision is {loaded.revision}, not {wanted} as settings ask.",
            hint="Serve the files of that revision, or change ECG_MODEL_REVISION.",
        )
    precision = settings.precision
    if precision == "auto":
        precision = auto_precision(loaded)
    return TorchEngine(loaded, threads=settings.model_threads, precision=precision)
