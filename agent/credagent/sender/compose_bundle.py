"""Options and the local identity become the bundle that is sealed: statements, grants and `not_after`. Pure."""

from datetime import datetime, timedelta
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from credagent.bundle import validation
from credagent.bundle.contents import (
    SLOT_OF_GRANT,
    AwsAssumeRoleGrant,
    AwsGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.credentials import Slot, Statement
from credagent.sender.grant_options import GrantOptions

ROLE_S = 3_600
SHORTEST_ROLE_S, LONGEST_ROLE_S = validation.ASSUME_ROLE_S[0], validation.ASSUME_ROLE_S[-1]
CHAINED_ROLE_S = validation.CHAINED_ROLE_S[-1]  # role chaining: from a session that is itself a role's


class LocalIdentity(Struct, frozen=True, kw_only=True):
    """What the sender's machine has now; None where a slot has nothing, or was not asked for.

    `lost` slots were granted before and cannot be had at the moment: their statement is *unavailable*, not *declined*.
    """

    aws: AwsSessionGrant | None = None
    google: GoogleAccessTokenGrant | GoogleAuthorizedUserGrant | None = None
    lost: frozenset[Slot] = frozenset()


def compose(options: GrantOptions, local: LocalIdentity, *, now: datetime, sequence: int, bundle_id: str) -> Bundle:
    """Return the bundle that `options` ask for. `now` is aware UTC."""
    granted = granted_slots(options, local)
    grants = tuple(grant for grant in _grants(options, local) if SLOT_OF_GRANT[type(grant)] in granted)
    return Bundle(
        bundle_id=bundle_id,
        sequence=sequence,
        audience=options.audience,
        issued_at=now,
        not_after=validation.last_end(grants) or now + timedelta(seconds=options.valid_for_s),
        slots={slot: _statement(slot, options, local, granted) for slot in Slot},
        grants=grants,
    )


def granted_slots(options: GrantOptions, local: LocalIdentity) -> frozenset[Slot]:
    """Return the slots that such a bundle fills."""
    return frozenset(SLOT_OF_GRANT[type(grant)] for grant in _grants(options, local)) - options.withdrawn


def expiry(grant: Grant) -> datetime | None:
    """Return when `grant` ends of itself; None for one that renews itself or has no expiry of its own."""
    match grant:
        case AwsSessionGrant() | GoogleAccessTokenGrant():
            return grant.expires_at
        case AwsAssumeRoleGrant() | GoogleAuthorizedUserGrant() | GoogleImpersonationGrant() | EnvironmentGrant():
            return None
        case _:
            assert_never(grant)


def _statement(slot: Slot, options: GrantOptions, local: LocalIdentity, granted: frozenset[Slot]) -> Statement:
    if slot in options.withdrawn:
        return Statement.WITHDRAWN
    if slot in granted:
        return Statement.GRANTED
    if slot in local.lost:
        return Statement.UNAVAILABLE
    return Statement.DECLINED


def _grants(options: GrantOptions, local: LocalIdentity) -> tuple[Grant, ...]:
    candidates: tuple[Grant | None, ...] = (
        _aws(options, local),
        _google(options, local),
        EnvironmentGrant(variables=options.variables) if options.variables else None,
    )
    return tuple(grant for grant in candidates if grant is not None)


def _aws(options: GrantOptions, local: LocalIdentity) -> AwsGrant | None:
    if not options.assume_role:
        return local.aws
    if options.wants_local_aws and local.aws is None:
        return None  # else the agent would assume the role with its own machine's identity, which nobody asked for
    return AwsAssumeRoleGrant(
        role_arn=options.assume_role,
        duration_s=_role_duration_s(options.duration_s, chained=local.aws is not None),
        region=local.aws.region if local.aws is not None else "",
        session=local.aws,
    )


def _google(options: GrantOptions, local: LocalIdentity) -> GoogleGrant | None:
    if not options.impersonate:
        return local.google
    if not options.wants_local_google:
        return GoogleImpersonationGrant(
            target=options.impersonate, lifetime_s=min(options.duration_s or ROLE_S, LONGEST_ROLE_S)
        )
    if not isinstance(local.google, GoogleAccessTokenGrant):
        return None
    return GoogleImpersonationGrant(
        target=options.impersonate,
        lifetime_s=min(options.duration_s or ROLE_S, LONGEST_ROLE_S),
        project=local.google.project,
        token=replace(local.google, project=""),
    )


def _role_duration_s(asked_s: int | None, *, chained: bool) -> int:
    longest = CHAINED_ROLE_S if chained else LONGEST_ROLE_S
    return min(max(asked_s or ROLE_S, SHORTEST_ROLE_S), longest)
