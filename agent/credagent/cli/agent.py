"""How commands talk to the agent that runs here. Its answers are documents; wording them is the commands'."""

import os
from collections.abc import Mapping
from typing import Any

from credagent import config as configuration
from credagent.errors import CredagentError, PermissionRefused, Refused, Unavailable
from credagent.worker import credagent_worker

ANSWER_S = 10.0


def ask(
    request: Mapping[str, object], *, config_path: str | None = None, timeout_s: float = ANSWER_S
) -> dict[str, Any]:
    """Return the agent's answer. Raises Unavailable (code `no-agent`) where none answers, else what the agent said."""
    config = configuration.load(config_path, os.environ)
    paths = configuration.agent_sockets(config, os.environ, os.geteuid())
    absent: Exception | None = None
    for path in paths:
        try:
            return credagent_worker.ask(request, path, timeout_s)
        except credagent_worker.AgentAbsent as error:
            absent = error
        except credagent_worker.AgentRefused as error:
            raise refusal_of(error) from error
    hint = "is it running? start it with `credagent run`, or name its configuration with --config"
    raise Unavailable("no-agent", f"no agent answers ({absent})", what="the agent", hint=hint) from absent


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
