"""Senders that are trusted by identity: what clouds said of their keys, and for how long that counts. Pure.

A bundle may carry an attestation of its sender's key on a second line. A helper asks the cloud who signed it, while the
agent runs on (`not-attested-yet`), and the answer is remembered for that key. The answer alone is no trust: a sender is
trusted while the configuration lists its identity. Once that is removed, its bundle is not in force any more. An answer
that has become old admits no new bundle; the bundle in force stays.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, structs

from credagent.admission.rules import AdmissionPolicy
from credagent.attestation.identity import AwsIdentity, GoogleIdentity
from credagent.attestation.identity_pattern import is_trusted
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.bundle.envelope import Envelope, Header
from credagent.bundle.key_pairs import SenderPublicKey
from credagent.bundle.refusal_codes import RefusalCode, refusal
from credagent.cloud_helper.job_requests import AttestationClaim
from credagent.cloud_helper.job_responses import AttestationOutcome
from credagent.errors import Refused, Unavailable

NOT_ATTESTED_YET = "not-attested-yet"
SECOND_LINE = "\ncredagent-attestation:"
MOST_SENDERS = 1_000


class AttestedSender(Struct, frozen=True, kw_only=True):
    """What a cloud said of a sender's raw public key, and when it was asked."""

    key: bytes
    identity: AwsIdentity | GoogleIdentity
    at: datetime


def split(content: bytes | str) -> tuple[bytes | str, str]:
    """Return the envelope's text and the attestation that follows it; an empty one where none does."""
    if isinstance(content, str):
        text, mark, rest = content.partition(SECOND_LINE)
        return text, f"{mark}{rest}".strip("\n")
    before, separator, after = content.partition(SECOND_LINE.encode())
    return before, (separator + after).decode("ascii", "replace").strip("\n")


def claim_of(header: Header, attestation: str) -> AttestationClaim:
    """Return what the cloud is asked: whether this was made for exactly this key, audience and sequence."""
    return AttestationClaim(attestation, statement_of(header).binding)


def statement_of(header: Header) -> KeyStatement:
    """Return what a sender's attestation is bound to."""
    line = SenderPublicKey(header.sender).line
    return KeyStatement(purpose=Purpose.SENDER, key_line=line, audience=header.audience, sequence=header.sequence)


def trusting(policy: AdmissionPolicy, senders: Mapping[str, AttestedSender]) -> AdmissionPolicy:
    """Return the policy that trusts also the keys whose identity it names."""
    listed = {sender.key for sender in senders.values() if is_trusted(sender.identity, policy.trusted_identities)}
    return structs.replace(policy, trusted_senders=policy.trusted_senders | listed) if listed else policy


def for_newcomer(
    envelope: Envelope,
    attestation: str,
    policy: AdmissionPolicy,
    senders: Mapping[str, AttestedSender],
    now: datetime,
) -> AdmissionPolicy:
    """Return the policy for an envelope that is not in force. Raises Unavailable: its sender's cloud is to be asked.

    What was said of its sender's key counts for as long as the policy says.
    """
    header = envelope.header
    if header.sender in policy.trusted_senders or not policy.trusted_identities:
        return trusting(policy, senders)
    known = senders.get(header.sender_id)
    if known is None or not is_trusted(known.identity, policy.trusted_identities) or not _counts(known, policy, now):
        if attestation:
            hint = "nothing to do: the sender's cloud is being asked"
            raise Unavailable(NOT_ATTESTED_YET, "its sender's cloud has yet to be asked", what="the bundle", hint=hint)
        return trusting(policy, {name: one for name, one in senders.items() if name != header.sender_id})
    return trusting(policy, senders)


def noted(
    senders: Mapping[str, AttestedSender],
    header: Header,
    outcome: AttestationOutcome,
    policy: AdmissionPolicy,
    now: datetime,
) -> dict[str, AttestedSender]:
    """Return what is remembered after the cloud's answer about a sender.

    Raises Refused where the answer is no, or names an identity that the policy does not trust; Unavailable where the
    cloud could not be asked.
    """
    if outcome.identity is None and outcome.retry:
        raise Unavailable(outcome.code, outcome.why, what="the sender's attestation", hint=outcome.hint)
    if outcome.identity is None:
        raise Refused(outcome.code, outcome.why, what="bundle refused: the sender's attestation", hint=outcome.hint)
    if not is_trusted(outcome.identity, policy.trusted_identities):
        why = f"its sender is {outcome.identity.words}, whom bundle.trusted_identities does not name"
        raise refusal(RefusalCode.UNTRUSTED_SENDER, why)
    kept = {name: sender for name, sender in senders.items() if name != header.sender_id}
    while len(kept) >= MOST_SENDERS:
        del kept[next(iter(kept))]
    return {**kept, header.sender_id: AttestedSender(key=header.sender, identity=outcome.identity, at=now)}


def _counts(sender: AttestedSender, policy: AdmissionPolicy, now: datetime) -> bool:
    return abs(now - sender.at) <= policy.identity_max_age  # a clock that was set back must not lengthen it
