"""How commands talk to the agent that runs here. Its answers are documents; wording them is the commands'."""

from __future__ import annotations

import os

from credagent.errors import ConfigurationError, CredagentError, PermissionRefused, Refused, Unavailable
from credagent.handover.unix.agent_place import known_places
from credagent.worker import credagent_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ANSWER_S = 10.0


def ask(
    request: Mapping[str, object], *, config_path: str | None = None, timeout_s: float = ANSWER_S
) -> dict[str, Any]:
    """Return the agent's answer. Raises Unavailable (code `no-agent`) where none answers, else what the agent said."""
    try:
        answer, _ = _first_answer(request, known_places(config_path), timeout_s)
        if answer is not None:
            return answer
        sockets, broken = _sockets(config_path)  # the configuration may say where it is, or why it is away
        answer, absent = _first_answer(request, sockets, timeout_s)
    except credagent_worker.AgentRefused as error:
        raise refusal_of(error) from error
    if answer is not None:
        return answer
    if broken is not None:
        raise broken
    hint = "is it running? start it with `credagent run`, or name its configuration with --config"
    raise Unavailable("no-agent", f"no agent answers ({absent})", what="the agent", hint=hint) from absent


def _first_answer(
    request: Mapping[str, object], sockets: Sequence[str], timeout_s: float
) -> tuple[dict[str, Any] | None, Exception | None]:
    absent: Exception | None = None
    for path in sockets:
        try:
            return credagent_worker.ask(request, path, timeout_s), None
        except credagent_worker.AgentAbsent as error:
            absent = error
    return None, absent


def _sockets(config_path: str | None) -> tuple[Sequence[str], ConfigurationError | None]:
    """Return where the agent may listen, and why its configuration cannot be read, if it cannot.

    An agent that runs on while its configuration is broken is asked about just that: what can be read of the file says
    where it is.
    """
    from credagent import config as configuration  # noqa: PLC0415  only where nobody answers where most agents are

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
