"""`videosearch models`."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from services.common.errors import PreconditionError

app = typer.Typer(help="Models for the embedder.", no_args_is_help=True)

PART = ".part"
"""Ends the name of a file that is not yet whole."""


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A CLIP-family checkpoint of the hub: owner/model.")],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to put it.", show_default="./ and the model's name")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Take it from the hub's cache on this machine; ask no network.")
    ] = False,
    as_json: output.AsJson = False,
) -> None:
    """Fetch a model into a folder, for embedders without a network. Run again, it fetches only what is missing."""
    folder = (to or Path(name.rpartition("/")[2])).absolute()
    files = _fetch(name, offline=offline)
    try:
        _copy(files, folder)
    except OSError as error:
        raise PreconditionError(f"{folder} cannot be written: {error.strerror}") from None
    if as_json:
        size = sum(file.stat().st_size for file in files)
        output.print_json({"model": name, "folder": str(folder), "size_bytes": size, "files": [f.name for f in files]})
    else:
        output.print_line(f"{name}: {output.counted(len(files), 'file')} in {folder}")
        output.print_line(f"The embedder serves it with VIDEOSEARCH_EMBEDDER_MODEL={folder}")


def _fetch(name: str, *, offline: bool) -> list[Path]:
    from services.common import hub

    terminal = sys.stderr.isatty()
    if not terminal:
        output.tell(f"{name}: fetching")
    return hub.fetch(name, offline=offline, progress=terminal)


def _copy(files: list[Path], folder: Path) -> None:
    """Not links: the folder may be carried elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        part = folder / (file.name + PART)
        shutil.copyfile(file, part)
        part.replace(folder / file.name)
