"""Arguments and options that the commands on recordings share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from serve_app.decoding import Hints

__all__ = [
    "Files",
    "FsHz",
    "Leads",
    "Lines",
    "MissingLeads",
    "Server",
    "Units",
    "given_hints",
]

Files = Annotated[list[Path], typer.Argument(help="Recordings; a .hea brings its .dat or .mat.")]
Server = Annotated[str | None, typer.Option(help="Ask this server, not this process.")]
Lines = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
FsHz = Annotated[float | None, typer.Option(help="Samples a second, where the file does not say.")]
Leads = Annotated[str | None, typer.Option(help="Comma-separated names.")]


class Units(StrEnum):
    """Of the samples, where the file does not say."""

    MV = "mV"
    UV = "uV"


class MissingLeads(StrEnum):
    """What the model is given for leads that a recording lacks."""

    REFUSE = "refuse"
    ZERO = "zero"


def given_hints(fs_hz: float | None, units: Units | None, leads: str | None) -> Hints:
    """What the options say of every recording."""
    names = tuple(name.strip() for name in leads.split(",")) if leads else None
    return Hints(fs_hz, units.value if units else None, names)
