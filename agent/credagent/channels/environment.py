"""The `env:` channel: a variable of the agent's own environment, set by whoever starts it."""

import os
from collections.abc import Mapping

from credagent.channels.pull_channel import Arrived, Content, tell_once


class EnvironmentChannel:
    """A bundle in a variable of the agent's environment. An unset variable changes nothing; an empty one is refused."""

    shared = False
    waits = False

    def __init__(self, variable: str, environ: Mapping[str, str], *, name: str = "env") -> None:
        """Look at `variable`. Linux allows 128 KiB for a variable with its name."""
        self.name = name
        self._variable, self._environ = variable, environ

    def present(self) -> Content:
        """Return what the variable holds."""
        value = self._environ.get(self._variable)
        return None if value is None else os.fsencode(value)

    async def follow(self, arrived: Arrived) -> None:
        """Tell the content once: nobody can change it from outside."""
        await tell_once(arrived, self.present())
