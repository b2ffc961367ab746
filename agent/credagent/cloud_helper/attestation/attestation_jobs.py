"""Makes a proof of this machine or of its user, and verifies several proofs at once. Runs in the helper."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from credagent.attestation import proof as proofs
from credagent.attestation.identity import Identity
from credagent.attestation.proof import AwsProof, GoogleProof, Proof
from credagent.cloud_helper import progress
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.http import https_client
from credagent.cloud_helper.job_requests import (
    AttestationClaim,
    AttestMachine,
    AttestSender,
    VerifyAttestations,
)
from credagent.cloud_helper.job_responses import (
    AttestationMade,
    AttestationOutcome,
    AttestationsVerified,
    GoogleCertificates,
)
from credagent.cloud_helper.machine_vendor import maker
from credagent.errors import NO_IDENTITY, Refused

AT_ONCE = 8


def answer(request: AttestMachine | AttestSender | VerifyAttestations) -> AttestationMade | AttestationsVerified:
    """Return the proof, or what became of each claim. Raises CloudFailure."""
    match request:
        case AttestMachine():
            return _made(request)
        case AttestSender():
            return _checked(_of_sender(request))
        case VerifyAttestations():
            return Verification(request.google).of(request.claims)


def _made(request: AttestMachine) -> AttestationMade:
    """Ask the cloud that the firmware names; where it names none, AWS and then Google, until one answers."""
    clouds = {"amazon": (_by_aws,), "google": (_by_google,)}.get(maker(), (_by_aws, _by_google))
    failures: list[CloudFailure] = []
    for make in clouds:
        try:
            made = make(request)
        except CloudFailure as failure:
            failures.append(failure)
            continue
        return _checked(made)
    # The failure of a cloud that is there is the one that a person can mend.
    raise next((failure for failure in failures if failure.code != NO_IDENTITY), failures[0])


def _checked(made: AttestationMade) -> AttestationMade:
    if len(made.attestation) > proofs.MAX_CHARACTERS:
        raise CloudFailure("attestation-large", f"{len(made.attestation)} characters")
    return made


def _of_sender(request: AttestSender) -> AttestationMade:
    with progress.preparing():
        from credagent.cloud_helper.attestation import aws_proof, google_proof

    if request.by_google:
        return AttestationMade(attestation=google_proof.by_sender(request.binding).text)
    return AttestationMade(attestation=aws_proof.by_sender(request.binding, request.profile).text)


def _by_aws(request: AttestMachine) -> AttestationMade:
    with progress.preparing():
        from credagent.cloud_helper.attestation import aws_proof

    proof, notice = aws_proof.by_machine(request.binding, by_role=request.by_role)
    return AttestationMade(attestation=proof.text, notice=notice)


def _by_google(request: AttestMachine) -> AttestationMade:
    with progress.preparing():
        from credagent.cloud_helper.attestation import google_proof

    return AttestationMade(attestation=google_proof.by_machine(request.binding).text)


class Verification:
    """The claims of one request: Google's certificates are read once for all of them, and only where needed."""

    def __init__(self, google: GoogleCertificates | None) -> None:
        """Begin with the certificates that the caller has kept."""
        self._google = google
        self._session = https_client.open_session()

    def of(self, claims: tuple[AttestationClaim, ...]) -> AttestationsVerified:
        """Return what became of each claim, in their order."""
        with progress.preparing():
            from credagent.cloud_helper.attestation import aws_verification, google_verification  # noqa: F401  counted

        parsed = [_parsed(claim) for claim in claims]
        self._certify([proof for proof in parsed if isinstance(proof, GoogleProof)])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = tuple(pool.map(self._outcome, claims, parsed))
        return AttestationsVerified(outcomes=outcomes, google=self._google)

    def _outcome(self, claim: AttestationClaim, proof: Proof | Refused) -> AttestationOutcome:
        try:
            if isinstance(proof, Refused):
                raise proof
            return AttestationOutcome(identity=self._identity(proof, claim.binding))
        except Refused as error:
            return AttestationOutcome(code=error.code, why=error.why, hint=error.hint)
        except CloudFailure as failure:
            told = failure.reply("the cloud that vouches for it")
            return AttestationOutcome(code=told.code, why=told.why, hint=told.hint, retry=True)

    def _identity(self, proof: Proof, binding: str) -> Identity:
        from credagent.cloud_helper.attestation import aws_verification, google_verification

        now = datetime.now(UTC)
        match proof:
            case AwsProof():
                return aws_verification.verify(self._session, proof, binding, now=now)
            case GoogleProof():
                if self._google is None:
                    raise CloudFailure("unreachable", "Google's certificates")
                return google_verification.verify(proof, self._google.by_key_id, binding, now=now)

    def _certify(self, tokens: list[GoogleProof]) -> None:
        """Read Google's certificates once, where none are kept or a token names another key."""
        from credagent.cloud_helper.attestation import google_certificates, google_verification

        key_ids = set()
        for token in tokens:
            with suppress(Refused):
                key_ids.add(google_verification.key_id_of(token))
        if self._google is not None and datetime.now(UTC) >= self._google.good_until:
            self._google = None
        if key_ids and (self._google is None or not key_ids <= set(self._google.by_key_id)):
            with suppress(CloudFailure):
                self._google = google_certificates.fetch(self._session)


def _parsed(claim: AttestationClaim) -> Proof | Refused:
    try:
        return proofs.parse(claim.attestation)
    except Refused as error:
        return error
