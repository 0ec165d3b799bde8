"""What commands share: how they print, and how they fail."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from serve_app.errors import EcgServeError, SettingsError
from serve_app.wording import in_shell

__all__ = [
    "AsJson",
    "Model",
    "failures_told",
    "print_told",
    "progress_bars",
    "size",
    "tell",
    "tell_error",
    "tracked",
]

_T = TypeVar("_T")
_out = Console(highlight=False, soft_wrap=True, markup=False)
_told = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
Model = Annotated[str, typer.Argument(help="A directory, a .pt, hf:OWNER/NAME[@REVISION] or demo.")]


def size(size_bytes: int) -> str:
    """In megabytes."""
    return f"{size_bytes / 1e6:.1f} MB"


def print_told(
    told: dict[str, Any], lines: Callable[[dict[str, Any]], Iterator[str]], as_json: bool
) -> None:
    """Write one JSON object, or lines for people."""
    if as_json:
        sys.stdout.write(json.dumps(told) + "\n")
        return
    for line in lines(told):
        _out.print(line)


def tell(sentence: str) -> None:
    """A line on standard error, above any bar."""
    _told.print(sentence)


def tell_error(error: EcgServeError, as_json: bool) -> None:
    """One JSON object, or two lines for people on standard error."""
    if as_json:
        problem = {"code": error.code, "detail": error.detail, "hint": in_shell(error.hint)}
        sys.stdout.write(json.dumps({"error": problem}) + "\n")
    else:
        _told.print(f"{error.title}: {error.detail}\n{in_shell(error.hint)}")


def progress_bars(*, hidden: bool = False) -> Progress:
    """Bars on standard error where that is a terminal; they vanish at the end."""
    return Progress(
        console=_told,
        transient=True,
        disable=hidden or not _told.is_terminal,
        # Else what is written to a file or a pipe meanwhile would go to the terminal instead.
        redirect_stdout=sys.stdout.isatty(),
    )


def tracked(each: Sequence[_T]) -> Iterator[_T]:
    """One after the other, with a bar where there are several."""
    with progress_bars(hidden=len(each) == 1) as progress:
        yield from progress.track(each, description="")


@contextmanager
def failures_told(as_json: bool) -> Iterator[None]:
    """Tell an error of ours and exit: 2 for settings, else 1."""
    try:
        yield
    except EcgServeError as error:
        tell_error(error, as_json)
        raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from error
