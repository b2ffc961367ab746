"""Which bundle takes force: two pure judgements, before and after a bundle is opened, that raise on any doubt.

One reference time (`now`, aware UTC) serves one pass. Signatures are checked before, by `bundle.opening`; what a slot
then falls back to is said in `slots/precedence`. The table of failures is in the bundle's FORMAT.md, section 7.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct

from credagent.admission import denied_variables
from credagent.bundle.contents import (
    AwsAssumeRoleGrant,
    AwsSessionGrant,
    Bundle,
    EnvironmentGrant,
    GoogleAuthorizedUserGrant,
)
from credagent.bundle.envelope import Envelope
from credagent.bundle.fingerprint import fingerprint
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.bundle.timestamps import moment_of, text_of
from credagent.credentials import Slot
from credagent.secret import Secret

CLOCK_LEEWAY = timedelta(minutes=5)  # how far a sender's clock may be ahead of the machine's
LISTED_NAMES = 10  # of variables, in one error: a bundle can bring thousands


class AdmissionPolicy(Struct, frozen=True, kw_only=True):
    """What this machine admits, from its configuration.

    `audience` empty: any, and then only what the machine's own key opened. `trusted_senders`: raw public keys;
    `trusted_identities`: what clouds may say of others (`attested_senders`), and for how long that counts.
    """

    audience: str = ""
    trusted_senders: frozenset[bytes] = frozenset()
    trusted_identities: tuple[str, ...] = ()
    identity_max_age: timedelta = timedelta(hours=24)
    max_age: timedelta = timedelta(hours=24)
    admit_long_term: bool = False
    admit_refresh_token: bool = False
    allow: tuple[str, ...] = ()
    admit: denied_variables.Admitted = "any"


class ReplayMark(Struct, frozen=True):
    """The newest bundle ever admitted from one sender: its number, and the digest of its envelope."""

    sequence: int
    digest: str


class InForce(Struct, frozen=True, kw_only=True):
    """The bundle in force. `sender` is the raw public key."""

    sender: bytes
    issued_at: datetime
    digest: str


class Standing(str, Enum):
    """What an admissible envelope is to this machine."""

    NEW = "new"
    AGAIN = "again"  # the very bundle in force: nothing changes


class AdmissionResult(Struct, frozen=True, kw_only=True):
    """An admitted bundle. `sender_id` files its `mark`, which is to be kept before the bundle is used."""

    bundle: Bundle
    sender_id: str
    mark: ReplayMark
    in_force: InForce


def before_opening(
    envelope: Envelope,
    policy: AdmissionPolicy,
    marks: Mapping[str, ReplayMark],
    in_force: InForce | None,
    now: datetime,
) -> Standing:
    """Judge what the envelope says in clear, or raise Refused. `marks` are by the sender's key id.

    The bundle in force is met again at every look at its channel: it is *again*, however old it is by now.
    """
    _check_sender(envelope, policy)
    if in_force is not None and envelope.digest == in_force.digest:
        return Standing.AGAIN
    mark = marks.get(envelope.header.sender_id)
    _check_sequence(envelope, mark)
    _check_clock(envelope, now)
    _check_rival(envelope, policy, in_force)
    _check_age(envelope, policy, now, first=mark is None or mark.digest != envelope.digest)
    return Standing.NEW


def before_reopening(envelope: Envelope, policy: AdmissionPolicy) -> None:
    """Judge the bundle in force when the agent starts or its configuration changes, or raise Refused.

    Neither replay nor age nor end are looked at: an ended bundle in force still says which slots were granted, and a
    slot once granted must not become absent by a restart. Each credential's own expiry is judged where it is used.
    """
    _check_sender(envelope, policy)


def after_opening(envelope: Envelope, bundle: Bundle, policy: AdmissionPolicy, *, own_key: bool) -> AdmissionResult:
    """Judge what was inside, or raise Refused. `own_key`: a key of this machine alone opened it (not a shared one).

    An audience is what keeps a bundle for one cluster from being fed to another that holds the same key; without one,
    only a key that exists nowhere else can.
    """
    if not policy.audience and not own_key:
        why = "this machine names no audience, and a key that other machines may hold opened the bundle"
        raise refusal(RefusalCode.AUDIENCE_NEEDED, why)
    for slot in Slot:
        match bundle.grant(slot):
            case AwsSessionGrant() as session:
                _check_long_term(session, policy)
            case AwsAssumeRoleGrant(session=AwsSessionGrant() as session):
                _check_long_term(session, policy)
            case GoogleAuthorizedUserGrant() if not policy.admit_refresh_token:
                raise refusal(RefusalCode.REFRESH_TOKEN, "it has a Google refresh token, which never expires")
            case EnvironmentGrant(variables=brought):
                _check_variables(brought, policy)
            case _:
                pass
    header = envelope.header
    return AdmissionResult(
        bundle=bundle,
        sender_id=header.sender_id,
        mark=ReplayMark(header.sequence, envelope.digest),
        in_force=in_force_of(envelope),
    )


def in_force_of(envelope: Envelope) -> InForce:
    """Return what a newcomer is compared with while `envelope` is in force."""
    header = envelope.header
    return InForce(sender=header.sender, issued_at=header.issued_at, digest=envelope.digest)


def _check_sender(envelope: Envelope, policy: AdmissionPolicy) -> None:
    header = envelope.header
    if header.sender not in policy.trusted_senders:
        raise refusal(
            RefusalCode.UNTRUSTED_SENDER, f"this machine does not trust its sender {fingerprint(header.sender_id)}"
        )
    if policy.audience and header.audience != policy.audience:
        raise refusal(RefusalCode.WRONG_AUDIENCE, f"it is for {header.audience!r}, and this is {policy.audience!r}")


def _check_sequence(envelope: Envelope, mark: ReplayMark | None) -> None:
    sequence = envelope.header.sequence
    if mark is None or sequence > mark.sequence:
        return
    if sequence < mark.sequence:
        raise refusal(
            RefusalCode.REPLAYED, f"a later one of its sender was admitted: {sequence} is below {mark.sequence}"
        )
    if envelope.digest != mark.digest:
        raise refusal(RefusalCode.FORKED, f"another bundle with its number {sequence} was admitted from its sender")


def _check_clock(envelope: Envelope, now: datetime) -> None:
    """Refuse a number or a time ahead of the clock: once admitted, such a mark would lock its sender out."""
    latest = max(envelope.header.issued_at, moment_of(envelope.header.sequence))
    if latest > now + CLOCK_LEEWAY:
        raise refusal(
            RefusalCode.FROM_THE_FUTURE,
            f"it was made at {text_of(latest)}, which this machine's clock has yet to reach",
        )


def _check_rival(envelope: Envelope, policy: AdmissionPolicy, in_force: InForce | None) -> None:
    """Between two trusted senders the later bundle wins; numbers of different senders do not compare."""
    if in_force is None or in_force.sender not in policy.trusted_senders:
        return
    if in_force.sender != envelope.header.sender and envelope.header.issued_at <= in_force.issued_at:
        raise refusal(RefusalCode.SUPERSEDED, "a bundle in force, by another trusted sender, was made later")


def _check_age(envelope: Envelope, policy: AdmissionPolicy, now: datetime, *, first: bool) -> None:
    header = envelope.header
    if now >= header.not_after:
        raise refusal(RefusalCode.EXPIRED, f"it ended at {text_of(header.not_after)}")
    if first and now - header.issued_at > policy.max_age:
        why = f"it was made at {text_of(header.issued_at)}, too long ago for one that was never seen here"
        raise refusal(RefusalCode.TOO_OLD, why)


def _check_long_term(session: AwsSessionGrant, policy: AdmissionPolicy) -> None:
    if session.session_token is None and not policy.admit_long_term:
        raise refusal(RefusalCode.LONG_TERM_KEY, "it has an AWS key without a session token, which never expires")


def _check_variables(brought: Mapping[str, Secret], policy: AdmissionPolicy) -> None:
    if bad := denied_variables.malformed(brought):
        raise refusal(RefusalCode.MALFORMED_VARIABLE, f"these are no names of variables: {_listed(bad)}")
    sizes = {name: value.size_bytes for name, value in brought.items()}
    if fault := denied_variables.too_large(sizes):
        raise refusal(RefusalCode.MALFORMED_VARIABLE, fault)
    if bad := denied_variables.denied(brought, policy.allow, policy.admit):
        unlisted = "this machine admits listed variables only, and not"
        why = unlisted if policy.admit == "listed" else "these variables would change how programs run:"
        raise refusal(RefusalCode.DENIED_VARIABLE, f"{why} {_listed(bad)}")


def _listed(names: list[str]) -> str:
    longest = denied_variables.MAX_NAME_CHARACTERS
    shown = ", ".join(ascii(name[:longest])[1:-1] for name in sorted(names)[:LISTED_NAMES])
    return f"{shown} and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else shown
