"""What a bundle must fulfil beyond its types, whoever reads it: pure, and without knowledge of any machine's policy.

Each function returns what is wrong in words (names only, no values), or an empty text.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

from credagent.bundle.contents import (
    SLOT_OF_GRANT,
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAccessTokenGrant,
    GoogleAuthorizedUserGrant,
    GoogleImpersonationGrant,
    Grant,
)
from credagent.bundle.envelope import audience_fault
from credagent.bundle.timestamps import NUMBER_LIMIT, microseconds_of
from credagent.credentials import Slot, Statement
from credagent.secret import Secret

ASSUME_ROLE_S = range(900, 43_201)  # what sts:AssumeRole takes
CHAINED_ROLE_S = range(900, 3_601)  # and where a session of another role asks
IMPERSONATION_S = range(1, 43_201)  # generateAccessToken, where the organisation allows the most
_ID = re.compile(r"[0-9a-f]{32}")
_TOKEN = re.compile(r"[!-~]+")  # printable ASCII without space: credentials travel in headers and in lines of a file
_KEY = re.compile(r"[ -~]+")  # ASCII, so that every language sorts keys alike
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # some terminals obey those beyond ASCII too
_REGION = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)  # clients make a host's name of it: no dot, no slash


def fault(bundle: Bundle) -> str:
    """Say what is wrong with `bundle`."""
    faults = (
        _header_fault(bundle),
        _statement_fault(bundle),
        *(grant_fault(grant) for grant in bundle.grants),
        _end_fault(bundle),
    )
    return next(filter(None, faults), "")


def last_end(grants: tuple[Grant, ...]) -> datetime | None:
    """Return when the last of `grants` has ended by itself; None where one renews itself or has no end, or none is.

    None means that the sender chooses `not_after` (`--valid-for`).
    """
    ends = [_end(grant) for grant in grants]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def grant_fault(grant: Grant) -> str:
    """Say what is wrong with `grant`."""
    kind = type(grant).__struct_config__.tag
    if wrong := _texts_fault(grant):
        return f"its {kind} grant has {wrong}"
    match grant:
        case AwsSessionGrant(session_token=token, expires_at=end):
            return "" if (token is None) == (end is None) else f"its {kind} grant has a token or an expiry alone"
        case AwsAssumeRoleGrant(session=session, duration_s=duration):
            if duration not in (ASSUME_ROLE_S if session is None else CHAINED_ROLE_S):
                return f"its {kind} grant asks for a lifetime out of range"
            return grant_fault(session) if session else ""
        case GoogleImpersonationGrant(token=token, lifetime_s=lifetime):
            if lifetime not in IMPERSONATION_S:
                return f"its {kind} grant asks for a lifetime out of range"
            return grant_fault(token) if token else ""
        case EnvironmentGrant(variables=variables):
            nul = any("\0" in value.reveal() for value in variables.values())
            return "one of its variables holds a NUL character" if nul else ""
        case GoogleAccessTokenGrant() | GoogleAuthorizedUserGrant():
            return ""
        case _:
            assert_never(grant)


def _header_fault(bundle: Bundle) -> str:
    if not _ID.fullmatch(bundle.bundle_id):
        return "its bundle_id is not 32 lower-case hexadecimal digits"
    if not 0 < bundle.sequence < NUMBER_LIMIT:
        return "its sequence is out of range"
    if not 0 <= microseconds_of(bundle.issued_at) < microseconds_of(bundle.not_after) < NUMBER_LIMIT:
        return "it ends before it begins, or its times are out of range"
    return audience_fault(bundle.audience)


def _statement_fault(bundle: Bundle) -> str:
    granted = [SLOT_OF_GRANT[type(grant)] for grant in bundle.grants]
    for slot in Slot:
        if slot not in bundle.slots:
            return f"it says nothing of the slot {slot.value}"
        wanted = int(bundle.slots[slot] is Statement.GRANTED)
        if granted.count(slot) != wanted:
            return f"the slot {slot.value} is {bundle.slots[slot].value} and has {granted.count(slot)} grants"
    return ""


def _end_fault(bundle: Bundle) -> str:
    end = last_end(bundle.grants)
    return "it claims to last longer than anything inside" if end is not None and bundle.not_after > end else ""


def _end(grant: Grant) -> datetime | None:
    return grant.expires_at if isinstance(grant, AwsSessionGrant | GoogleAccessTokenGrant) else None


def _texts_fault(grant: Grant) -> str:
    for name in grant.__struct_fields__:
        value = getattr(grant, name)
        if isinstance(value, dict) and not all(_KEY.fullmatch(key) for key in value):
            return f"a name in {name} that is empty or not ASCII"
        if (isinstance(value, Secret) or name == "access_key_id") and not _TOKEN.fullmatch(_text(value)):
            return f"a {name} that is not printable ASCII"
        if name == "region" and value and not _REGION.fullmatch(value):
            return "a region that is not the name of one"
        if name != "variables" and any(_CONTROL.search(text) for text in _texts(value)):
            return f"a control character in {name}"
    return ""


def _text(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, tuple):
        yield from value
