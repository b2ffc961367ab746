"""`credagent doctor --attest`: has this machine attested as for a forwarder, asks its cloud back, shows each step.

For whoever has an account: what is known from documents only is tried here. Nothing secret is printed: proofs are shown
by their parts' names and lengths.
"""

import os
from collections.abc import Iterator

from msgspec import Struct

from credagent.attestation import identity as identities
from credagent.attestation import proof as proofs
from credagent.attestation.identity_pattern import pattern_of
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import AttestationClaim, AttestMachine, VerifyAttestations
from credagent.errors import Unavailable

DEADLINE_S = 20.0
_NO_CLOUD = "on a machine of no cloud, name its key to the sender: recipients= (--recipient)"


class AttestStep(Struct, frozen=True, kw_only=True):
    """One step: what was done, what came of it, and what to do where it failed."""

    step: str
    answer: str
    ok: bool = True
    remedy: str = ""


def steps() -> Iterator[AttestStep]:
    """Attest a key that is made for this, by the instance and by the role, and have both verified."""
    key = RecipientPrivateKey.generate().public_key
    statement = KeyStatement(purpose=Purpose.RECIPIENT, key_line=key.line, audience="doctor")
    for by_role in (False, True):
        yield from _by(statement, key.key_id, by_role=by_role)


def _by(statement: KeyStatement, key_id: str, *, by_role: bool) -> Iterator[AttestStep]:
    whose = "by the machine's role" if by_role else "by the instance"
    try:
        request = AttestMachine(binding=statement.binding, by_role=by_role)
        made = call_blocking(request, deadline_s=DEADLINE_S, environ=os.environ)
    except Unavailable as error:
        answer = f"none: {error.why} ({error.code})"
        yield AttestStep(step=f"proof {whose}", answer=answer, ok=False, remedy=error.hint or _NO_CLOUD)
        return
    yield AttestStep(step=f"proof {whose}", answer=made.notice or proofs.describe(made.attestation))
    if made.notice:
        yield AttestStep(step="its parts", answer=proofs.describe(made.attestation))
    for claimed, told in ((statement.binding, "asked back"), ("x" * 43, "for another key")):
        yield _verified(made.attestation, claimed, key_id, told, is_own=claimed == statement.binding)


def _verified(attestation: str, binding: str, key_id: str, told: str, *, is_own: bool) -> AttestStep:
    request = VerifyAttestations(claims=(AttestationClaim(attestation, binding),))
    try:
        (outcome,) = call_blocking(request, deadline_s=DEADLINE_S, environ=os.environ).outcomes
    except Unavailable as error:
        return AttestStep(step=told, answer=f"no answer: {error.why} ({error.code})", ok=False, remedy=error.hint)
    if outcome.identity is None:
        refused = f"refused: {outcome.why} ({outcome.code})"
        return AttestStep(step=told, answer=refused, ok=not is_own, remedy=outcome.hint if is_own else "")
    answer = f"{identities.ground(outcome.identity, key_id)}; named {pattern_of(outcome.identity)}"
    hint = "do not use attested machines with this cloud, and report it"
    return AttestStep(step=told, answer=answer, ok=is_own, remedy="" if is_own else hint)
