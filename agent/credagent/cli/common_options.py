"""What commands have in common on the command line: options, and types of options."""

import os

from credagent.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from credagent.config import Config


def reload_command() -> str:
    """Return how whoever runs this has an agent read its files again: a unit's as root, else an agent of one's own."""
    return "systemctl reload credagent" if os.geteuid() == 0 else "kill -HUP PID"


def add_config(parser: "argparse.ArgumentParser") -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config",
        metavar="F",
        help="the configuration (default: your own ~/.config/credagent/config.toml, else /etc/credagent/config.toml)",
    )


def add_agents_config(parser: "argparse.ArgumentParser") -> None:
    """Add `--config` of a command that asks the running agent."""
    parser.add_argument("--config", metavar="F", help="the configuration of the agent to ask")


def add_json(parser: "argparse.ArgumentParser") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="print a stable document for programs")


def config(arguments: "argparse.Namespace") -> "Config":
    """Return the configuration that `--config` and the environment give."""
    from credagent.config import load

    return load(arguments.config, os.environ)


def duration(text: str) -> int:
    """Return the seconds of a duration, INT(s|m|h|d)."""
    from credagent.duration import duration_s

    try:
        return duration_s(text)
    except ConfigurationError as error:
        import argparse

        raise argparse.ArgumentTypeError(f"{error.why}: {error.hint}") from error
