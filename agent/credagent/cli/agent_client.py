"""How commands talk to the agent that runs here. Its answers are documents; wording them is the commands'."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from credagent import config as configuration
from credagent.errors import ConfigurationError, CredagentError, PermissionRefused, Refused, Unavailable
from credagent.worker import credagent_worker

ANSWER_S = 10.0


def ask(
    request: Mapping[str, object], *, config_path: str | None = None, timeout_s: float = ANSWER_S
) -> dict[str, Any]:
    """Return the agent's answer. Raises Unavailable (code `no-agent`) where none answers, else what the agent said."""
    absent: Exception | None = None
    sockets, broken = _sockets(config_path)
    for path in sockets:
        try:
            return credagent_worker.ask(request, path, timeout_s)
        except credagent_worker.AgentAbsent as error:
            absent = error
        except credagent_worker.AgentRefused as error:
            raise refusal_of(error) from error
    if broken is not None:
        raise broken
    hint = "is it running? start it with `credagent run`, or name its configuration with --config"
    raise Unavailable("no-agent", f"no agent answers ({absent})", what="the agent", hint=hint) from absent


def _sockets(config_path: str | None) -> tuple[Sequence[str], ConfigurationError | None]:
    """Return where the agent may listen, and why its configuration cannot be read, if it cannot.

    An agent that runs on while its configuration is broken is asked about just that: what can be read of the file says
    where it is.
    """
    broken = None
    try:
        config = configuration.load(config_path, os.environ)
    except ConfigurationError as error:
        broken, config = error, configuration.load_what_can_be(config_path, os.environ)
    return configuration.agent_sockets(config, os.environ, os.geteuid()), broken


def refusal_of(error: credagent_worker.AgentRefused) -> CredagentError:
    """Return the agent's refusal as an error of ours, with the exit code that belongs to it."""
    code, why, hint = error.code, str(error), error.hint
    match code:
        case "not-allowed":
            return PermissionRefused(code, why, what="the agent", hint=hint)
        case "no-credentials" | "busy":
            return Unavailable(code, why, hint=hint)
        case _:
            return Refused(code, why, what="the agent", hint=hint)
