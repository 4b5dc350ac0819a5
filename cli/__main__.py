"""`videosearch`: find the moment in any video by describing it."""

import logging
from typing import Any

import grpc
import typer
from typer.core import TyperGroup

from cli import exits, index, jobs, output, search, status, videos
from services.common import call
from services.common.errors import VideosearchError


class Commands(TyperGroup):
    """The one place where a failure becomes a line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VideosearchError as error:
            output.tell(f"videosearch: {error}")
            raise typer.Exit(exits.code_of(error)) from None
        except grpc.aio.AioRpcError as error:  # a status that no service sends on purpose
            output.tell(f"videosearch: {error.details()} (request id {call.request_id()})")
            raise typer.Exit(exits.FAILED) from None


app = typer.Typer(
    cls=Commands,
    name="videosearch",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=f"Exit codes: {exits.MEANINGS}",
)
app.command()(index.index)
app.command()(search.search)
app.add_typer(videos.app, name="videos")
app.add_typer(jobs.app, name="jobs")
app.command()(status.status)


@app.callback()
def start() -> None:
    """Find the moment in any video by describing it.

    The services are expected on this machine; VIDEOSEARCH_EMBEDDER_ADDRESS, VIDEOSEARCH_STORE_ADDRESS,
    VIDEOSEARCH_INDEXER_ADDRESS and VIDEOSEARCH_SEARCH_ADDRESS say otherwise.
    """
    logging.getLogger("services").addHandler(logging.NullHandler())  # the commands say in words what a log would
    call.begin()


def main() -> None:
    app()


if __name__ == "__main__":
    main()
