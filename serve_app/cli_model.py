"""`ecg-serve model`: fetch, convert, verify and list models.

Exit codes: 0 done, 1 the model failed, 2 a wrong call.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve_app.cli_output import AsJson, Model, failures_told, print_told, size
from serve_app.errors import CheckpointError
from serve_app.settings import load_settings

if TYPE_CHECKING:
    from serve_app.model.hub import HubFiles
    from serve_app.model.verification import Verified

__all__ = ["model_app"]

model_app = typer.Typer(
    help="Fetch, convert, quantize, export, verify, bench and list models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Revision = Annotated[
    str | None, typer.Option(help="Commit or SHA-256 (or its first digits) that it has to be.")
]


@model_app.command()
def pull(
    name: Annotated[str, typer.Argument(help="hf:OWNER/NAME or hf:OWNER/NAME@REVISION.")],
    to: Annotated[Path | None, typer.Option(help="Also copy its files to this folder.")] = None,
    encoder: Annotated[bool, typer.Option(help="A pretrained encoder will do.")] = False,
    force: Annotated[bool, typer.Option(help="Download again what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a model from the Hub into its local cache, and check it against its SHA-256."""
    from serve_app.model.hub import is_hub_name

    if not is_hub_name(name):
        raise typer.BadParameter("write hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    with failures_told(as_json):
        told = _pull(name, to, encoder=encoder, force=force)
        print_told(told, _pulled, as_json)


@model_app.command()
def convert(
    source: Model,
    folder: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="New or empty.")],
    as_json: AsJson = False,
) -> None:
    """Write a model as config.json and model.safetensors, its weights bit for bit in float32."""
    with failures_told(as_json):
        from serve_app.model.checkpoints import load_any
        from serve_app.model.conversion import write_model
        from serve_app.model.verification import verify

        read = load_any(source)
        write_model(read, folder)
        written = verify(str(folder.resolve())).to_dict() | {"name": read.name}
        print_told({"from_sha256": read.sha256, **written}, _verified, as_json)


@model_app.command("verify")
def verify_model(
    model: Model,
    revision: Revision = None,
    expected: Annotated[
        Path | None, typer.Option(help=".npz of outputs that it has to give, within 1e-4.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Load a model and tell what it is; compare what it computes with expected outputs."""
    with failures_told(as_json):
        from serve_app.model.verification import verify

        found: Verified = verify(model, revision, expected)
        print_told(found.to_dict(), _verified, as_json)
    raise typer.Exit(0 if found.agrees else 1)


@model_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """The demo, the model that ECG_MODEL names, and what the cache of the Hub holds."""
    with failures_told(as_json):
        from serve_app.model.hub_cache import cached_models

        settings = load_settings()
        models = [{"name": "demo", "source": "demo"}]
        models += [cached.to_dict() for cached in cached_models()]
        current = {"name": settings.model, "revision": settings.model_revision}
        print_told({"current": current, "models": models}, _listed, as_json)


def _pull(name: str, to: Path | None, *, encoder: bool, force: bool) -> dict[str, Any]:
    from serve_app.model.hub import HubName, fetch
    from serve_app.model.stored import refuse_other_sha256, sha256_of

    parsed = HubName.parse(name)
    fetched = fetch(parsed, head=not encoder, force=force)
    sha256 = sha256_of(fetched.weights)
    refuse_other_sha256(sha256, fetched.sha256)
    if to is not None:
        _copy(fetched, to)
    return {
        "name": f"hf:{parsed.repository}@{fetched.commit}",
        "commit": fetched.commit,
        "revision": sha256[:12],
        "sha256": sha256,
        "files": [{"name": file.name, "size_bytes": file.stat().st_size} for file in fetched.files],
        "directory": None if to is None else str(to),
    }


def _copy(fetched: "HubFiles", folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in fetched.files:
            # Under another name until it is whole; the weights come last.
            part = folder / f".{file.name}.part"
            shutil.copyfile(file, part)
            part.replace(folder / file.name)
    except OSError as error:
        raise CheckpointError(
            f"The files cannot be copied: {error.strerror or 'the disk refuses'}.",
            hint="Name a folder that can be written to, on a disk with room for them.",
        ) from error


def _pulled(told: dict[str, Any]) -> Iterator[str]:
    yield f"{told['name']}: revision {told['revision']}, sha256 {told['sha256']}"
    for file in told["files"]:
        yield f"  {file['name']}  {size(file['size_bytes'])}"
    yield f"Serve it with ECG_MODEL={told['directory'] or told['name']}"


def _verified(told: dict[str, Any]) -> Iterator[str]:
    yield f"{told['name']}: revision {told['revision']}, {told['parameters']:,} parameters"
    yield f"  sha256     {told['sha256']}"
    if told["commit"]:
        yield f"  commit     {told['commit']}"
    yield f"  source     {told['source']}, precision {told['precision']}, every weight finite"
    yield f"  labels     {'; '.join(told['labels']) or 'none: a pretrained encoder'}"
    if told["demo"]:
        yield (
            "  demo model: trained on simulated recordings and a few public ones, "
            "for demonstration only"
        )
    for name, difference in told["differences"].items():
        worst = "infinite" if difference is None else f"{difference:.2e}"
        yield f"  {name:<22} max |difference| {worst}"
    if told["differences"]:
        yield f"  {'agrees' if told['agrees'] else 'DIFFERS'} within 1e-4"


def _listed(told: dict[str, Any]) -> Iterator[str]:
    current = told["current"]
    yield f"ECG_MODEL={current['name']}" + (
        f" ECG_MODEL_REVISION={current['revision']}" if current["revision"] else ""
    )
    for model in told["models"]:
        references = f"  ({', '.join(model['references'])})" if model.get("references") else ""
        on_disk = f"  {size(model['size_bytes'])}" if "size_bytes" in model else ""
        yield f"  {model['name']}{references}{on_disk}"
