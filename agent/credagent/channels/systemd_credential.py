"""The `credential:` channel: a file that systemd puts where only this service can read it."""

from collections.abc import Mapping

from credagent.channels.pull_channel import ENVELOPE_LIMIT_BYTES, Arrived, Content, tell_once
from credagent.errors import CredagentError
from credagent.system.file_reading import read_bounded


class SystemdCredentialChannel:
    """A bundle that systemd passes as a credential (LoadCredential=, SetCredential=): a file that others cannot read.

    https://systemd.io/CREDENTIALS/
    """

    shared = False
    waits = False

    def __init__(self, credential: str, environ: Mapping[str, str], *, name: str = "credential") -> None:
        """Look for `credential` in the folder that systemd names. Without systemd there is none."""
        self.name = name
        folder = environ.get("CREDENTIALS_DIRECTORY", "")
        self._path = f"{folder}/{credential}" if folder else ""

    def present(self) -> Content:
        """Read the file, bounded."""
        if not self._path:
            return None
        try:
            return read_bounded(self._path, ENVELOPE_LIMIT_BYTES)
        except CredagentError as error:
            return error

    async def follow(self, arrived: Arrived) -> None:
        """Tell the content once: systemd renews credentials when the service starts, or reloads."""
        await tell_once(arrived, self.present())
