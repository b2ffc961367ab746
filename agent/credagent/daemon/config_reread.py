"""What a reload takes from the configuration: all but what was bound and promised at the start. Applies nothing."""

from collections.abc import Callable, Mapping

from credagent import config as configuration
from credagent.config import Config
from credagent.config.channel_grammar import SocketChannelSpec

ONLY_BY_RESTART: Mapping[str, Callable[[Config], str]] = {
    "agent.runtime_dir": lambda config: config.agent.runtime_dir,
    "agent.state_dir": lambda config: config.agent.state_dir,
    "endpoint.listen": lambda config: ",".join(map(str, config.endpoint.listen)),
    "endpoint.metrics": lambda config: str(config.endpoint.metrics or ""),
    "aws.handover": lambda config: config.aws.handover,
    "google.handover": lambda config: config.google.handover,
    "workers.intercept": lambda config: str(config.workers.intercept).lower(),
    "workers.intercept_imdsv1": lambda config: str(config.workers.intercept_imdsv1).lower(),
}
"""Each with its value, as it would stand in the environment."""


def reread(path: str | None, environ: Mapping[str, str], running: Config) -> tuple[Config, list[str]]:
    """Return the configuration as it stands now, and the keys whose new values wait for a restart.

    Those keys keep the values of `running`, and so does what follows from them (the inbox is in `runtime_dir`):
    an agent whose parts go by two configurations would write where nobody reads. Raises CredagentError.
    """
    config = configuration.load(path, environ)
    kept = {key: get(running) for key, get in ONLY_BY_RESTART.items() if get(config) != get(running)}
    if kept:
        config = configuration.load(path, environ, kept)
    late = list(kept)
    if not _socket_paths(config) <= _socket_paths(running):
        late.append("bundle.channels")
    return config, late


def _socket_paths(config: Config) -> frozenset[str]:
    return frozenset(channel.path for channel in config.bundle.channels if isinstance(channel, SocketChannelSpec))
