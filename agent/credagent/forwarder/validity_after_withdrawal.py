"""How long a client that runs already may go on with what was handed out, after it was taken back. Pure.

A withdrawal stops renewal, makes endpoints refuse and overwrites environments. A client object that has loaded
credentials keeps using them until shortly before they expire, and nothing on the machine can reach into it.
"""

from datetime import UTC, datetime, timedelta
from typing import assert_never

from msgspec import Struct

from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
    Grant,
)

FOR_EVER = datetime.max.replace(tzinfo=UTC)  # a long-term key: until its owner deletes it
ACCESS_TOKEN_S = 3_600  # what Google issues for a refresh token


class HandedOut(Struct, frozen=True, kw_only=True):
    """What machines got of one or more bundles. `until`: the latest expiry inside, None for none.

    `renewed_s`: the life of what the agent obtained for itself by a grant, the last of it just before the withdrawal.
    """

    until: datetime | None = None
    renewed_s: int = 0

    def and_then(self, later: "HandedOut") -> "HandedOut":
        """Return what was handed out in all."""
        ends = [end for end in (self.until, later.until) if end is not None]
        return HandedOut(until=max(ends, default=None), renewed_s=max(self.renewed_s, later.renewed_s))

    def usable_until(self, withdrawn_at: datetime) -> datetime | None:
        """Return until when a client may go on; None where there was nothing that expires."""
        renewed = withdrawn_at + timedelta(seconds=self.renewed_s) if self.renewed_s else None
        ends = [end for end in (self.until, renewed) if end is not None and end > withdrawn_at]
        return max(ends, default=None)


def handed_out(bundle: Bundle) -> HandedOut:
    """Return what a bundle hands out."""
    found = HandedOut()
    for grant in bundle.grants:
        found = found.and_then(_of_grant(grant))
    return found


def _of_grant(grant: Grant) -> HandedOut:
    match grant:
        case AwsSessionGrant():
            return HandedOut(until=grant.expires_at or FOR_EVER)
        case GoogleAccessTokenGrant():
            return HandedOut(until=grant.expires_at)
        case AwsAssumeRoleGrant():
            return HandedOut(renewed_s=grant.duration_s)
        case GoogleImpersonationGrant():
            return HandedOut(renewed_s=grant.lifetime_s)
        case GoogleAuthorizedUserGrant():
            return HandedOut(renewed_s=ACCESS_TOKEN_S)
        case EnvironmentGrant():
            return HandedOut()
        case _:
            assert_never(grant)
