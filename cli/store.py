"""`videosearch store`: care for a store's data."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from cli import exits, output, reembed
from cli.files import written_whole
from cli.settings import Services
from services.common.errors import DataLossError, InvalidInputError, PreconditionError

if TYPE_CHECKING:
    from services.store.maintenance import Report

app = typer.Typer(help="Care for a store's data.", no_args_is_help=True)
app.command()(reembed.reembed)

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The store's data folder. The store must be stopped.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


@app.command()
def backup(
    file: File, force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False
) -> None:
    """Copy all that a store holds into a file, while it serves."""
    with written_whole(file, replace=force) as part, _shown() as show:
        asyncio.run(_backup(part, show))
    output.print_line(f"{file}: {file.stat().st_size} bytes")


@app.command()
def restore(file: File, folder: Folder) -> None:
    """Make a store of a backup, in a new or an empty folder."""
    with _files_needed():
        from services.store import backup as backups
        from services.store import maintenance

        backups.restore(file, folder)
        _print(maintenance.verify(folder))
    output.print_line(f"The store serves it with VIDEOSEARCH_STORE_DATA_FOLDER={folder.absolute()}")


@app.command()
def verify(folder: Folder, as_json: output.AsJson = False) -> None:
    """Read all that a stopped store holds, and say what is damaged. Changes nothing."""
    with _files_needed():
        from services.store import maintenance

        report = maintenance.verify(folder)
    _print(report, as_json=as_json)
    if report.findings:
        raise typer.Exit(exits.CODES[DataLossError])


@app.command()
def repair(folder: Folder, as_json: output.AsJson = False) -> None:
    """Make a sound store of what a damaged one still holds; the damaged files are kept aside."""
    with _files_needed():
        from services.store import maintenance

        report = maintenance.repair(folder)
    _print(report, as_json=as_json)
    if report.findings and not report.kept_folder:
        raise DataLossError("nothing of it can be kept, and nothing was changed: restore a backup")
    if report.kept_folder and not as_json:
        lost = ", ".join(report.lost_video_ids) or "none"
        output.print_line(f"Repaired. Videos lost, to be indexed again: {lost}")
        output.print_line(f"The damaged files are in {report.kept_folder}; remove them when you no longer need them.")


async def _backup(file: Path, show: Callable[[int], None]) -> None:
    async with Services().store() as store:
        with file.open("wb") as backup:
            async for piece in store.backup():
                await asyncio.to_thread(backup.write, piece)
                show(len(piece))
            backup.flush()
            await asyncio.to_thread(os.fsync, backup.fileno())


@contextmanager
def _shown() -> Iterator[Callable[[int], None]]:
    """Takes how many bytes have come; shows them in a terminal."""
    console = output.console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("backup"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)
        yield lambda size: bars.advance(task, size)


@contextmanager
def _files_needed() -> Iterator[None]:
    """Around what reads a store's files itself, which needs what the store needs."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise PreconditionError(f"this needs the store's packages ({error.name}): install videosearch[store]") from None
    except FileNotFoundError as error:
        raise InvalidInputError(f"{error.filename} does not exist") from None
    except OSError as error:
        raise PreconditionError(f"{error.filename}: {error.strerror}") from None


def _print(report: "Report", *, as_json: bool = False) -> None:
    if as_json:
        output.print_json(report)
        return
    counts = {
        "video": report.video_count,
        "scene": report.scene_count,
        "sample": report.sample_count,
        "image": report.image_count,
    }
    sound = ", ".join(output.counted(count, noun) for noun, count in counts.items())
    output.print_line(f"sound: {sound}" if report.findings else f"all sound: {sound}")
    for finding in report.findings:
        output.print_line(f"damaged: {finding}")
