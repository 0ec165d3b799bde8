"""`ecg-serve model bench | quantize | export`: what a model can be run as, and how fast.

Exit codes: 0 done, 1 the model failed or errs too much, 2 a wrong call.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serve_app.cli_model import model_app
from serve_app.cli_output import AsJson, Model, failures_told, print_told, size
from serve_app.errors import NotFound, SettingsError

if TYPE_CHECKING:
    from serve_app.engine.protocol import Float32s

__all__ = ["bench", "export", "model_app", "quantize"]


class BenchPrecision(StrEnum):
    """Which engines are timed."""

    ALL = "all"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class ExportPrecision(StrEnum):
    """What an ONNX file may be written in."""

    FP32 = "fp32"
    INT8 = "int8"


@model_app.command()
def bench(
    model: Model,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Recordings; by default pydicom's own example.")
    ] = None,
    precision: Annotated[BenchPrecision, typer.Option()] = BenchPrecision.ALL,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of each engine.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Calls that are timed, of each.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Time each engine in each precision against the plain float32 forward pass, on real segments.

    Exit code 1 where a probability is off by more than 0.02. `all` leaves fp16 out: no processor
    multiplies it.
    """
    with failures_told(as_json):
        from serve_app.engine.choosing import available_engines
        from serve_app.engine.comparison import compare_engines
        from serve_app.model.checkpoints import load_model

        segments = _segments(files)
        wanted = ("fp32", "bf16", "int8") if precision == BenchPrecision.ALL else (precision.value,)
        engines = [pair for pair in available_engines() if pair[1] in wanted]
        if not engines:
            raise SettingsError(f"No engine that is installed here runs in {precision.value}.")
        found = compare_engines(
            load_model(model), segments, engines=engines, threads=threads, rounds=rounds
        )
        print_told(found.to_dict(), _benched, as_json)
    raise typer.Exit(0 if found.within_limit else 1)


@model_app.command()
def quantize(
    model: Model,
    folder: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="New or empty.")],
    calibrate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings to measure on; by default pydicom's own example and simulated ones."
        ),
    ] = None,
    most_error: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Of a probability, on these recordings; what errs "
            "most stays in float32 until none is off by more.",
        ),
    ] = 0.01,
    as_json: AsJson = False,
) -> None:
    """Write a model with the linear layers of its encoder in int8: a quarter of the size.

    Exit code 1 where the error cannot be kept with a third of the layers in float32.
    """
    with failures_told(as_json):
        from serve_app.engine.rounding import varied_segments
        from serve_app.model.checkpoints import load_model
        from serve_app.model.conversion import write_model
        from serve_app.model.sensitivity import quantize_within
        from serve_app.model.verification import verify

        read = load_model(model)
        segments = _segments(calibrate) if calibrate else varied_segments()
        found = quantize_within(read, segments, most_error)
        write_model(found.model, folder)
        written = verify(str(folder.resolve())).to_dict()
        told = {
            **found.to_dict(),
            "from_sha256": read.sha256,
            "revision": written["revision"],
            "sha256": written["sha256"],
            "size_bytes": sum(file.stat().st_size for file in folder.iterdir()),
        }
        print_told(told, _quantized, as_json)
    raise typer.Exit(0 if found.within_limit else 1)


@model_app.command()
def export(
    model: Model,
    path: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="A new file.")],
    precision: Annotated[ExportPrecision, typer.Option()] = ExportPrecision.FP32,
    as_json: AsJson = False,
) -> None:
    """Write a model as one ONNX file of standard operations, for runtimes without Python.

    It takes segments (n, 12, 2500) and gives logits and embeddings.
    """
    with failures_told(as_json):
        from serve_app.engine.exporting import export_onnx
        from serve_app.model.checkpoints import load_model

        told = export_onnx(load_model(model), path, precision.value, _segments(None))
        print_told(told.to_dict(), _exported, as_json)


def _segments(files: list[Path] | None) -> "Float32s":
    """Standardised segments of recordings, as the model is given them."""
    import numpy as np

    from serve_app.decoding import decode_path
    from serve_app.engine.rounding import example_segments
    from serve_app.preprocessing import check, prepare

    if not files:
        return example_segments()
    try:
        recordings = [decode_path(path) for path in files]
    except OSError as error:
        raise NotFound(
            f"The file cannot be read: {error.strerror}.", hint="Check the path."
        ) from error
    for recording in recordings:
        check(recording)
    return np.concatenate([prepare(recording).segments for recording in recordings])


def _benched(told: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{told['name']}: revision {told['revision']}, {told['parameters']:,} parameters, "
        f"{told['segments']} segments, threads: {told['threads']}, median of {told['rounds']}"
    )
    for row in told["rows"]:
        yield (
            f"  {row['engine']} {row['precision']}: {row['weights_mb']:.1f} MB, "
            f"ready in {row['load_s']:.1f} s, "
            f"max |difference| {row['max_logit_error']:.1e} of a logit, "
            f"{row['max_probability_error']:.4f} of a probability"
        )
        for batch, rate in row["segments_per_s"].items():
            yield (
                f"    batch {batch}: {rate:.1f} segments/s, "
                f"{row['speed_up'][batch]:.2f} x plain float32, "
                f"spread {100 * row['spread'][batch]:.0f} %"
            )


def _quantized(told: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{told['name']}: revision {told['revision']}, {size(told['size_bytes'])}, "
        f"{told['int8_layers']} layers in int8"
    )
    if told["kept_in_fp32"]:
        yield f"  in float32  {', '.join(told['kept_in_fp32'])}"
    relation = "within" if told["within_limit"] else "NOT within"
    yield (
        f"  error       {told['max_probability_error']:.4f} of a probability on "
        f"{told['segments']} segments, {relation} {told['limit']}"
    )


def _exported(told: dict[str, Any]) -> Iterator[str]:
    yield f"{told['name']}: revision {told['revision']}, {size(told['size_bytes'])}"
    yield (
        f"  {told['precision']}, max |difference| {told['max_logit_error']:.1e} of a logit, "
        f"{told['max_probability_error']:.4f} of a probability"
    )
