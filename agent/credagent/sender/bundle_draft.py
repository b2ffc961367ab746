"""One bundle in clear: look at the local identity, take a number, compose. To whom it is sealed is the caller's."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from credagent.admission.denied_variables import denied
from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.bundle.sealing import new_bundle_id
from credagent.bundle.timestamps import text_of
from credagent.clock import Clock
from credagent.credentials import Slot, Statement
from credagent.sender import sequence_number
from credagent.sender.compose_bundle import CHAINED_ROLE_S, compose
from credagent.sender.grant_options import GrantOptions
from credagent.sender.local_identity import FoundIdentity, IdentityLookup, look


class BundleDraft(Struct, frozen=True, kw_only=True):
    """A bundle in clear, whose identity is in it, and what a person should know before it is sent."""

    bundle: Bundle
    found: tuple[FoundIdentity, ...] = ()
    notices: tuple[str, ...] = ()


def draft_bundle(options: GrantOptions, key: SenderPrivateKey, environ: Mapping[str, str], clock: Clock) -> BundleDraft:
    """Return a bundle with the identity of this moment. Blocks while clouds are asked; raises as `look`."""
    seen = look(options, environ)
    return draft_from_lookup(options, seen, key, environ=environ, now=clock.now())


def draft_from_lookup(
    options: GrantOptions, seen: IdentityLookup, key: SenderPrivateKey, *, environ: Mapping[str, str], now: datetime
) -> BundleDraft:
    """Return the bundle with what was seen, under the next sequence of `key`."""
    sequence = sequence_number.reserve(sequence_number.state_folder(environ), key.key_id, now)
    bundle = compose(options, seen.local, now=now, sequence=sequence, bundle_id=new_bundle_id())
    notices = [*seen.notices, *_advice(options, bundle)]
    if sequence_number.runs_ahead(sequence, now):
        notices.append("this machine's clock went back by minutes: agents refuse the bundle until they have caught up")
    return BundleDraft(bundle=bundle, found=seen.found, notices=tuple(notices))


def describe(draft: BundleDraft) -> Iterator[str]:
    """Yield one line for each slot: what is sent, whose it is, until when."""
    whose = {found.slot: found for found in draft.found}
    taken_back = any(draft.bundle.statement(slot) is Statement.WITHDRAWN for slot in Slot)
    for slot in Slot:
        statement = draft.bundle.statement(slot)
        if statement is Statement.GRANTED:
            yield f"{slot.value}: {_granted(draft.bundle, slot, whose.get(slot))}"
        elif slot is not Slot.ENVIRONMENT or statement is not Statement.DECLINED or taken_back:
            yield f"{slot.value}: {statement.value}"


def _granted(bundle: Bundle, slot: Slot, found: FoundIdentity | None) -> str:
    grant = bundle.grant(slot)
    if grant is None:
        return "nothing"
    if isinstance(grant, EnvironmentGrant):
        return f"{', '.join(sorted(grant.variables))}, until {text_of(bundle.not_after)}"
    target = getattr(grant, "role_arn", "") or getattr(grant, "target", "")
    parts = [f"{target}, by" if target else "", _whose(found), _until(grant, bundle)]
    return " ".join(part for part in parts if part)


def _until(grant: Grant, bundle: Bundle) -> str:
    match grant:
        case AwsSessionGrant(expires_at=None):
            return "a long-term key, good until you delete it"
        case AwsSessionGrant(expires_at=datetime() as ends) | GoogleAccessTokenGrant(expires_at=ends):
            return f"until {text_of(ends)}"
        case (
            AwsAssumeRoleGrant(session=AwsSessionGrant(expires_at=datetime() as ends))
            | GoogleImpersonationGrant(token=GoogleAccessTokenGrant(expires_at=ends))
        ):
            last = min(ends, bundle.not_after)
            return f"renewed by the agent until {text_of(last)}, when what it is asked for with ends"
        case _:
            return f"renewed by the agent until {text_of(bundle.not_after)}"


def _whose(found: FoundIdentity | None) -> str:
    if found is None:
        return "the machine's own identity,"
    method = f" ({found.method})" if found.method else ""
    return f"{found.principal or 'your identity'}{method},"


def _advice(options: GrantOptions, bundle: Bundle) -> Iterator[str]:
    grant = bundle.grant(Slot.AWS)
    if isinstance(grant, AwsSessionGrant) and grant.session_token is None:
        yield "a long-term AWS key is sent as it is: whoever has been on such a machine keeps it until you delete it"
    if options.withdrawn - {Slot.ENVIRONMENT}:
        yield "a client that has loaded credentials may go on until they expire: short sessions keep that short"
    chained = getattr(grant, "session", None) is not None
    refused = denied(options.variables, ())
    if refused:
        names = ", ".join(refused)
        yield f"agents refuse the bundle because of {names}, unless [environment] allow of their configuration has it"
    if options.assume_role and chained and (options.duration_s or 0) > CHAINED_ROLE_S:
        yield "a role assumed from a session lasts one hour at most (AWS: role chaining); the agent renews it"
