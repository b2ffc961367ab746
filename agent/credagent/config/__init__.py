"""The configuration: plain values, read once from file, environment and flags. What follows is the service's."""

from credagent.config.channels import DEFAULT_RUNTIME_DIR, SOCKET_NAME, Channel, Target, channel_text, parse_channel
from credagent.config.folders import SOCKET_VARIABLE, agent_sockets, default_folders, may_write
from credagent.config.given import DEFAULT_PATH
from credagent.config.loading import Setting, describe, load
from credagent.config.sections import (
    DEFAULT_STATE_DIR,
    Address,
    Agent,
    Aws,
    Bundle,
    Config,
    Endpoint,
    Environment,
    Google,
    Log,
    Workers,
)
from credagent.config.values import Folders, duration_s, duration_text

__all__ = [
    "DEFAULT_PATH",
    "DEFAULT_RUNTIME_DIR",
    "DEFAULT_STATE_DIR",
    "SOCKET_NAME",
    "SOCKET_VARIABLE",
    "Address",
    "Agent",
    "Aws",
    "Bundle",
    "Channel",
    "Config",
    "Endpoint",
    "Environment",
    "Folders",
    "Google",
    "Log",
    "Setting",
    "Target",
    "Workers",
    "agent_sockets",
    "channel_text",
    "default_folders",
    "describe",
    "duration_s",
    "duration_text",
    "load",
    "may_write",
    "parse_channel",
]
