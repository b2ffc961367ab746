"""What a cloud, or the way to it, can refuse: each code with its text, hint, and whether asking again soon can help.

These travel in the helper's reply and become `errors.Unavailable` in the agent. Refusals of bundles are in
`bundle.refusal_codes`, the families of errors and their exit codes in `errors`.

The SDKs' own texts stop here: they quote requests and answers, and those hold secrets.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from credagent.cloud_helper.http.response_headers import retry_after_s
from credagent.cloud_helper.job_responses import Failed

SKEW_WORTH_SAYING_S = 120.0
"""AWS refuses signatures that are 5 minutes off (15 for S3); beyond 2 minutes the clock explains a refusal."""


class FailureKind(Struct, frozen=True):
    """A class of failure. `retry` False: asking again soon cannot help."""

    why: str
    hint: str = ""
    retry: bool = True


ROLE_HINT = "attach an instance profile whose role may read the data, or forward credentials"
IMITATED_HINT = "does a proxy or an emulator stand in for the metadata service here?"

KINDS: Mapping[str, FailureKind] = {
    # The machine has no identity on this cloud: information, not an error.
    "no-identity": FailureKind("this machine has no identity on this cloud", retry=False),
    "no-role": FailureKind("the instance has no role", ROLE_HINT, retry=False),
    "no-service-account": FailureKind(
        "the machine runs without a service account", "attach the data-access service account to the VM", retry=False
    ),
    # Metadata services.
    "metadata-disabled": FailureKind(
        "the instance metadata service is switched off",
        "aws ec2 modify-instance-metadata-options --http-endpoint enabled",
        retry=False,
    ),
    "hop-limit": FailureKind(
        "the metadata service is there, but its session token does not arrive: the hop limit is too low",
        "aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2 (or run with host networking)",
        retry=False,
    ),
    "metadata-unreachable": FailureKind(
        "the metadata service does not answer", "is 169.254.169.254 filtered or routed away?"
    ),
    "metadata-refused": FailureKind("the metadata service refused the request", "does something stand in front of it?"),
    "metadata-malformed": FailureKind("the metadata service's answer cannot be understood", IMITATED_HINT),
    "role-unusable": FailureKind(
        "the metadata service cannot assume the instance's role",
        "does the role's trust policy name ec2.amazonaws.com, and does the role still exist?",
        retry=False,
    ),
    "expiry-past": FailureKind(
        "the credentials that were answered have expired already", "is this machine's clock right?"
    ),
    "expiry-malformed": FailureKind("the expiry that was answered cannot be understood", IMITATED_HINT),
    "bad-endpoint": FailureKind(
        "the configured endpoint is not an address", "look at the SDK's variables", retry=False
    ),
    "bad-token-file": FailureKind(
        "the identity token file cannot be read or holds no token",
        "look at AWS_WEB_IDENTITY_TOKEN_FILE or AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ),
    # Any cloud service.
    "access-denied": FailureKind(
        "the service denied access", "does the policy allow this principal to do it?", retry=False
    ),
    "throttled": FailureKind(
        "the service asks for fewer requests", "nothing to do: it is asked again, less and less often"
    ),
    "expired-token": FailureKind(
        "the credentials used for the request have expired", "send new credentials", retry=False
    ),
    "key-unknown": FailureKind(
        "the service does not know the access key", "was it deleted, or is it cut?", retry=False
    ),
    "key-mismatch": FailureKind(
        "secret key and access key do not belong together", "configure them anew, both from the same place", retry=False
    ),
    "clock-skew": FailureKind(
        "this machine's clock is wrong, so the service refuses its requests",
        "set the clock (chrony, systemd-timesyncd)",
    ),
    "region-disabled": FailureKind(
        "STS is not active in this region for the account", "activate it, or set a region", retry=False
    ),
    "no-region": FailureKind("no region is known", "set [aws] region, or AWS_DEFAULT_REGION", retry=False),
    "request-refused": FailureKind(
        "the service refused the request as it was made",
        "look at the role, the account and the parameters that the grant names",
        retry=False,
    ),
    "identity-token-refused": FailureKind("the service refused the identity token", "does the role trust its issuer?"),
    "service-error": FailureKind(
        "the service failed",
        "nothing to do: it is asked again, less and less often; see the cloud's status page if it lasts",
    ),
    "malformed-answer": FailureKind(
        "the service's answer cannot be understood", "is there a proxy or a captive portal on the way?"
    ),
    "unreachable": FailureKind("the service cannot be reached", "look at network, name servers and HTTPS_PROXY"),
    "tls-failed": FailureKind(
        "the connection cannot be trusted", "look at AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE, and the clock"
    ),
    # Google.
    "invalid-grant": FailureKind(
        "Google no longer accepts the refresh token",
        "gcloud auth application-default login, then send again",
        retry=False,
    ),
    "client-unknown": FailureKind(
        "Google does not accept the OAuth client of the refresh token",
        "gcloud auth application-default login, then send again",
        retry=False,
    ),
    "precondition-failed": FailureKind(
        "the service will not do this in the present state of things",
        "look at the state of the resource in the console",
        retry=False,
    ),
    "not-found": FailureKind("the service does not know what was asked for", "is the name right?", retry=False),
    "insufficient-scope": FailureKind(
        "the token's scopes do not allow this", "give the VM the cloud-platform scope", retry=False
    ),
    # Keys held elsewhere.
    "key-address": FailureKind(
        "the key's address cannot be understood",
        "aws-kms:arn:aws:kms:… or gcp-kms:projects/…/cryptoKeys/…",
        retry=False,
    ),
    "key-not-found": FailureKind(
        "the key does not exist, or not in this region or project",
        "look at the key's address: region, project and name",
        retry=False,
    ),
    "key-disabled": FailureKind(
        "the key is disabled or waits for its deletion", "enable the key, or seal to another one", retry=False
    ),
    "not-opened": FailureKind(
        "the key service could not open it: other key, other context, or altered",
        "was it sealed for this key and this audience, by this sender?",
        retry=False,
    ),
    # The sending side's own identity.
    "no-local-identity": FailureKind(
        "no local credentials were found", "aws configure, aws sso login, or set AWS_PROFILE", retry=False
    ),
    "no-profile": FailureKind("the profile does not exist", "aws configure list-profiles", retry=False),
    "partial-credentials": FailureKind(
        "the local credentials are incomplete", "look at the variables and the profile", retry=False
    ),
    "session-token-missing": FailureKind(
        "the key belongs to a session, but its session token is missing", "set AWS_SESSION_TOKEN as well", retry=False
    ),
    "sso-expired": FailureKind("the SSO login has expired", "aws sso login", retry=False),
    "login-expired": FailureKind("the console login has expired", "aws login", retry=False),
    "aws-crt-missing": FailureKind(
        "the profile needs a part of the AWS SDK that is not installed here, awscrt (a login by `aws login` does)",
        "pip install 'botocore[crt]' where credagent is, or eval $(aws configure export-credentials --format env) "
        "and call this again with --aws local",
        retry=False,
    ),
    "mfa-needed": FailureKind(
        "the profile asks for a one-time code, and nobody can be asked",
        "eval $(aws configure export-credentials --profile NAME --format env), then call this again with --aws local",
        retry=False,
    ),
    "credential-process-failed": FailureKind(
        "the profile's credential_process gave no credentials", "run it by hand", retry=False
    ),
    "aws-configuration": FailureKind(
        "the AWS configuration files cannot be understood", "aws configure list", retry=False
    ),
    "google-configuration": FailureKind(
        "the application-default credentials cannot be understood", "gcloud auth application-default login", retry=False
    ),
    "not-refreshable": FailureKind(
        "the application-default credentials hold no refresh token",
        "gcloud auth application-default login",
        retry=False,
    ),
    # Attestations.
    "attestation-large": FailureKind(
        "the cloud's proof is larger than an attestation may be",
        "please report it, with the length",
        retry=False,
    ),
    "not-attestable": FailureKind(
        "Google signs no token that attests this identity",
        "use a service account, or have the machines trust your key: credagent trust PUB",
        retry=False,
    ),
    # Channels.
    "channel-too-large": FailureKind(
        "what the channel holds is larger than a bundle may be", "is this the bundle, or something else?", retry=False
    ),
    "channel-ambiguous": FailureKind("which bundle is meant is not clear", "leave one bundle there", retry=False),
    "redirect-refused": FailureKind("the server's redirect is not followed", "name the final address", retry=False),
    "channel-address": FailureKind(
        "the channel's address cannot be understood",
        "look at bundle.channels; `credagent check-config` explains it",
        retry=False,
    ),
    # The helper itself.
    "helper-defect": FailureKind(
        "the helper met something it does not know", "please report it, with the versions of the SDKs"
    ),
}


class CloudFailure(Exception):
    """A failure on its way out of the helper. `detail` is ours too: a status, a count of seconds, a class's name."""

    def __init__(self, code: str, detail: str = "", *, hint: str = "", retry_after_s: float | None = None) -> None:
        """Take a code from the table; `hint` says it better here than the table does."""
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.hint = hint
        self.retry_after_s = retry_after_s

    def reply(self, what: str) -> Failed:
        """Return what the caller is told."""
        kind = KINDS[self.code]
        why = f"{kind.why} ({self.detail})" if self.detail else kind.why
        return Failed(
            code=self.code,
            what=what,
            why=why,
            hint=self.hint or kind.hint,
            retry=kind.retry,
            retry_after_s=self.retry_after_s,
        )


def overload(status: int, retry_after: str | None) -> CloudFailure | None:
    """Return the failure that an HTTP status is whatever was asked: 429 and 5xx. None for any other.

    `retry_after` is the answer's header of that name.
    """
    if status != TOO_MANY_REQUESTS and status < SERVER_ERROR:
        return None
    code = "throttled" if status == TOO_MANY_REQUESTS else "service-error"
    return CloudFailure(code, f"HTTP {status}", retry_after_s=retry_after_s(retry_after, datetime.now(UTC)))


TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500


def clock_failure(skew_s: float | None) -> CloudFailure | None:
    """Return the failure that a refusal really is, where the clock is so wrong that it explains it."""
    if skew_s is None or abs(skew_s) < SKEW_WORTH_SAYING_S:
        return None
    return CloudFailure("clock-skew", skew_text(skew_s))


def skew_text(skew_s: float) -> str:
    """Say how wrong the clock is, from the service's point of view."""
    return f"it is {abs(skew_s):.0f} s {'behind' if skew_s > 0 else 'ahead of'} the service's"
