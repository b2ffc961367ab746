"""Whether a ruleset is loaded, as far as one can tell without a capability: a connection to its probe address arrives.

Reading the kernel's rules takes CAP_NET_ADMIN, and the agent's own connections to the metadata address are not
redirected. The probe address is a loopback address: the question never leaves the machine.
"""

import asyncio

from credagent.handover.interception.nftables_rules import Ruleset, probe_address

PROBE_S = 1.0  # a redirected connection arrives within a millisecond; another program may listen on port 80


class RuleProbe:
    """Asks whether a ruleset is loaded; one question at a time."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._asked: tuple[str, int] | None = None
        self._arrived = asyncio.Event()

    def redirected(self, destination: tuple[str, int]) -> None:
        """Note that a connection to `destination` was redirected to the agent's listener."""
        if destination == self._asked:
            self._arrived.set()

    async def is_loaded(self, ruleset: Ruleset) -> bool:
        """Tell whether exactly `ruleset` redirects connections to the agent that asks."""
        self._asked = probe_address(ruleset)
        self._arrived.clear()
        try:
            async with asyncio.timeout(PROBE_S):
                _, writer = await asyncio.open_connection(*self._asked)
                try:
                    await self._arrived.wait()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
        return True
