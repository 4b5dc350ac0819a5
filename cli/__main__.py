"""`videosearch`: find the moment in any video by describing it."""

import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from cli import exits, index, jobs, models, output, recommend, search, sources, status, store, timeline, token, videos
from cli.settings import Services
from services.common import call, tracing
from services.common.errors import InvalidInputError, PreconditionError, StartupError, VideosearchError


class Commands(TyperGroup):
    """The one place where a failure becomes a line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for argument in args:
            if not sources.is_utf8(argument):
                raise _exit(InvalidInputError(f"{argument} is not UTF-8: give it as UTF-8, or rename the file"))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return self._flushed(ctx)
        except VideosearchError as error:
            raise _exit(error) from None
        except ValidationError as error:
            raise _exit(InvalidInputError(Services.problem(error))) from None
        except grpc.aio.AioRpcError as error:  # a status that no service sends on purpose
            output.tell(f"videosearch: {error.details()} (request id {call.request_id()})")
            raise typer.Exit(exits.FAILED) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:  # typer ends a command whose reader has gone
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what waits is not tried again at the end
            raise _exit(PreconditionError(f"the output cannot be written: {error.strerror}")) from None

    def _flushed(self, ctx: Any) -> Any:
        """What is still to be written is written here, where a failure can be told."""
        try:
            return super().invoke(ctx)
        finally:
            sys.stdout.flush()


def _exit(error: VideosearchError) -> typer.Exit:
    output.tell(f"videosearch: {exits.message_of(error)}")
    return typer.Exit(exits.code_of(error))


app = typer.Typer(
    cls=Commands,
    name="videosearch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=f"Exit codes: {exits.MEANINGS}",
)
app.command()(index.index)
app.command()(search.search)
app.command()(recommend.recommend)
app.command()(timeline.timeline)
app.add_typer(videos.app, name="videos")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(store.app, name="store")
app.command()(token.token)
app.command()(status.status)


@app.callback()
def start(context: typer.Context) -> None:
    """Find the moment in any video by describing it.

    The services are expected on this machine; VIDEOSEARCH_EMBEDDER_ADDRESS, VIDEOSEARCH_STORE_ADDRESS,
    VIDEOSEARCH_INDEXER_ADDRESS and VIDEOSEARCH_SEARCH_ADDRESS say otherwise.
    """
    logging.getLogger("services").addHandler(logging.NullHandler())  # the commands say in words what a log would
    call.begin()
    context.with_resource(_traced(context.invoked_subcommand or ""))


@contextlib.contextmanager
def _traced(command: str) -> Iterator[None]:
    """A trace of the command, if that is set; it is sent at the end, which takes no longer than a moment."""
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    try:
        if Services().tracing:
            tracing.configure("cli", tracing.MOMENT_S)
    except StartupError as error:
        raise PreconditionError(str(error)) from None
    try:
        with tracing.root(f"videosearch {command}", {}):
            yield
    finally:
        tracing.stop()


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a title must not stop a command where it cannot be shown
    app()


if __name__ == "__main__":
    main()
