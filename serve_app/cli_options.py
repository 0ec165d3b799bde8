"""Arguments and options that the commands on recordings share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Files", "FsHz", "Leads", "Lines", "MissingLeads", "Server", "Units"]

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
