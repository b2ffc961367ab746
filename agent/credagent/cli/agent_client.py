"""How commands talk to the agent that runs here. Its answers are documents; wording them is the commands'.

Where it listens is known without reading the configuration as a whole: commands that run often load no TOML parser.
"""

from __future__ import annotations

import os

from credagent.errors import ConfigurationError, CredagentError, PermissionRefused, Refused, Unavailable
from credagent.worker import credagent_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

ANSWER_S = 10.0
# As `config.value_origins` has them; that room takes longer to load than an answer takes.
CONFIG_PATH, LIMIT_BYTES = "/etc/credagent/config.toml", 256 * 1024
RUNTIME_DIR_KEY, RUNTIME_DIR_VARIABLE = b"runtime_dir", "CREDAGENT_AGENT_RUNTIME_DIR"


def ask(
    request: Mapping[str, object], *, config_path: str | None = None, timeout_s: float = ANSWER_S
) -> dict[str, Any]:
    """Return the agent's answer. Raises Unavailable (code `no-agent`) where none answers, else what the agent said."""
    try:
        if not _moved(config_path):
            try:
                return credagent_worker.ask(request, timeout=timeout_s)
            except credagent_worker.AgentAbsent:
                pass  # the configuration may say why
        return _ask_configured(request, config_path, timeout_s)
    except credagent_worker.AgentRefused as error:
        raise refusal_of(error) from error


def _ask_configured(request: Mapping[str, object], config_path: str | None, timeout_s: float) -> dict[str, Any]:
    absent: Exception | None = None
    sockets, broken = _sockets(config_path)
    for path in sockets:
        try:
            return credagent_worker.ask(request, path, timeout_s)
        except credagent_worker.AgentAbsent as error:
            absent = error
    if broken is not None:
        raise broken
    hint = "is it running? start it with `credagent run`, or name its configuration with --config"
    raise Unavailable("no-agent", f"no agent answers ({absent})", what="the agent", hint=hint) from absent


def _moved(config_path: str | None) -> bool:
    """Tell whether the configuration may say another place than the default ones; not which.

    TOML can spell a key so that this does not see it. Then nobody answers at the default places, and all of it is read.
    """
    if os.environ.get("CREDAGENT_SOCKET"):
        return False
    if RUNTIME_DIR_VARIABLE in os.environ:
        return True
    try:
        with open(config_path or CONFIG_PATH, "rb") as file:
            return RUNTIME_DIR_KEY in file.read(LIMIT_BYTES)
    except FileNotFoundError:
        return config_path is not None
    except OSError:
        return True  # whoever reads it as a whole says what is wrong with it


def _sockets(config_path: str | None) -> tuple[Sequence[str], ConfigurationError | None]:
    """Return where the agent may listen, and why its configuration cannot be read, if it cannot.

    An agent that runs on while its configuration is broken is asked about just that: what can be read of the file says
    where it is.
    """
    from credagent import config as configuration

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
