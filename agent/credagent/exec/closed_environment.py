"""What a program gets where no agent says what it may have: nothing, and what may not fall back is closed."""

from typing import Any

from credagent.config import Config
from credagent.credentials import CredentialSet, Empty
from credagent.handover.unix.protocol import set_document
from credagent.slots.precedence import Fallback
from credagent.worker_environment.rendering import HandoverPlan, worker_environment


def document(config: Config) -> dict[str, Any]:
    """Return the set of a machine that holds nothing, in the form in which an agent would send it."""
    empty = CredentialSet(
        generation=0, aws=_empty(config, config.aws.fallback), google=_empty(config, config.google.fallback)
    )
    plan = HandoverPlan(aws=config.aws.handover, google=config.google.handover, region=config.aws.region)
    view = worker_environment(empty, plan)
    return set_document(empty, view, settled=False, required=frozenset(), audience="", public_key="")


def _empty(config: Config, fallback: str) -> Empty:
    never = config.bundle.expect == "required" or Fallback(fallback) is Fallback.NEVER
    return Empty(may_fall_back=not never)
