"""Whether the rules of interception are loaded: asked at the start and every ten seconds, shown in status and log."""

import asyncio
import os
from collections.abc import Callable

from credagent import log
from credagent.config import Config
from credagent.errors import ConfigurationError
from credagent.handover.interception.configured_ruleset import configured_ruleset
from credagent.handover.interception.rule_probe import RuleProbe

LOOK_S = 10.0  # a firewall that is loaded anew may flush all rules, and nobody is told
MISSING = "interception-missing"
HINT = "systemctl enable --now credagent-intercept; after a change of [workers] or of a firewall, restart it"


class InterceptionCheck:
    """What is wrong with interception, where the configuration has it."""

    def __init__(self, config: Callable[[], Config], *, on_change: Callable[[], None]) -> None:
        """`config` gives the present configuration; `on_change` is called when `problems` has changed."""
        self._config, self._on_change = config, on_change
        self._probe = RuleProbe()
        self.problems: tuple[str, ...] = ()

    def redirected(self, destination: tuple[str, int]) -> None:
        """Note where a redirected connection wanted to go (a listener tells)."""
        self._probe.redirected(destination)

    async def keep(self) -> None:
        """Look now and then, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look now."""
        config = self._config()
        problems = await self._problems(config) if config.workers.intercept else ()
        if problems == self.problems:
            return
        self.problems = problems
        if problems:
            log.error("interception_not_in_place", code=problems[0], hint=HINT)
        else:
            log.info("interception_in_place" if config.workers.intercept else "interception_off")
        self._on_change()

    async def _problems(self, config: Config) -> tuple[str, ...]:
        try:
            ruleset = configured_ruleset(config, agent=os.geteuid())
        except ConfigurationError as error:
            return (error.code,)
        return () if await self._probe.is_loaded(ruleset) else (MISSING,)
