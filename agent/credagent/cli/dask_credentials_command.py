"""`dask credentials …`: every credagent command below Dask's own command line, through its plug-in group."""

import sys

import click


@click.command(
    name="credentials",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Credentials for clusters: forward, seal, status and the other commands of credagent.",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def credentials(words: tuple[str, ...]) -> None:
    """Pass everything on: `dask credentials forward --scheduler …` is `credagent forward --scheduler …`."""
    from credagent.cli.main import main

    sys.exit(main(list(words)))
