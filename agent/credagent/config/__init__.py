"""The configuration: plain values, read once from file, environment and flags. What follows from them is the daemon's.

- `sections`: the values, one struct for each section, with their defaults
- `keys`: what each key accepts
- `values`: how a text becomes a value
- `value_origins`: what was given for each key, and by whom
- `loading`: puts it together; describes what is in force
- `channel_grammar`: the grammar of channels and targets
- `default_folders`: the folders of a machine that names none, and where a client finds the agent
"""

from credagent.config.channel_grammar import (
    DEFAULT_RUNTIME_DIR,
    SOCKET_NAME,
    Channel,
    Target,
    channel_text,
    parse_channel,
)
from credagent.config.default_folders import SOCKET_VARIABLE, agent_sockets, default_folders, may_write
from credagent.config.loading import Setting, describe, load, load_what_can_be
from credagent.config.sections import (
    DEFAULT_STATE_DIR,
    Address,
    AgentSection,
    AwsSection,
    BundleSection,
    Config,
    EndpointSection,
    EnvironmentSection,
    GoogleSection,
    LogSection,
    WorkersSection,
)
from credagent.config.values import Folders

__all__ = [
    "DEFAULT_RUNTIME_DIR",
    "DEFAULT_STATE_DIR",
    "SOCKET_NAME",
    "SOCKET_VARIABLE",
    "Address",
    "AgentSection",
    "AwsSection",
    "BundleSection",
    "Channel",
    "Config",
    "EndpointSection",
    "EnvironmentSection",
    "Folders",
    "GoogleSection",
    "LogSection",
    "Setting",
    "Target",
    "WorkersSection",
    "agent_sockets",
    "channel_text",
    "default_folders",
    "describe",
    "load",
    "load_what_can_be",
    "may_write",
    "parse_channel",
]
