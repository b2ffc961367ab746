"""The sender's own AWS identity, as boto3's default chain finds it, made into a session that can be forwarded.

A long-term key becomes a session (sts:GetSessionToken); a session goes as it is, with its real expiry wherever botocore
knows it, or the profile says it (`x_security_token_expires`). Where neither does (a token in a profile or in the
environment without AWS_CREDENTIAL_EXPIRATION, a credential_process without Expiration) the expiry is 15 minutes from
now, or what the person said with a duration: STS tells nobody how long a session has left, and after a wrong guess
credentials that have ended would be handed out.
"""

import os
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError, MetadataRetrievalError
from botocore.utils import InstanceMetadataFetcher
from msgspec import structs

from credagent.cloud_helper.aws.caller_identity import caller_if_told
from credagent.cloud_helper.aws.clients import FALLBACK_REGION, client
from credagent.cloud_helper.aws.credential_document import bounded_expiry, parsed_expiry, skew_notices
from credagent.cloud_helper.aws.errors import from_botocore
from credagent.cloud_helper.aws.sts_session import session_from
from credagent.cloud_helper.failures import CloudFailure
from credagent.cloud_helper.job_requests import AwsLocalIdentity
from credagent.cloud_helper.job_responses import AwsObtained, Notice
from credagent.credentials import AwsCredentials, Origin
from credagent.secret import Secret

CAUTIOUS = timedelta(minutes=15)
DEFAULT_SESSION_S = 12 * 3600  # what STS gives where nothing is asked for
SHORTEST_S, LONGEST_S = 900, 129_600  # GetSessionToken's limits
TEMPORARY_KEY = "ASIA"  # how the ids of session keys begin
FILE_METHODS = frozenset({"shared-credentials-file", "config-file"})
EXPIRY_IN_PROFILE = "x_security_token_expires"
IDENTITY_PATIENCE_S = 10.0  # a person waits for this one

FATAL_CODES = frozenset({"expired-token", "key-unknown", "key-mismatch", "clock-skew"})
"""Answers of STS after which there is no use in forwarding what was found."""


def answer(request: AwsLocalIdentity) -> AwsObtained:
    """Return a session (or, if asked for, a long-term key) and whose it is. Raises CloudFailure."""
    session = local_session(request.profile)
    found, expires_at, method = found_credentials(session)
    region = region_of(session)
    if found.session_token is None and found.access_key_id.startswith(TEMPORARY_KEY):
        raise CloudFailure("session-token-missing", f"found by {method}")
    if found.session_token is not None:
        return _forwarded(found, expires_at, method=method, region=region, request=request)
    if request.allow_long_term:
        whole = structs.replace(found, region=region)
        return _with_caller(AwsObtained(credentials=whole, origin=Origin.BUNDLE, method=method))
    return _session_from(found, method=method, region=region, request=request)


def found_credentials(session: Any) -> tuple[AwsCredentials, datetime | None, str]:  # noqa: ANN401  botocore has no types
    """Run the chain; None for an expiry that botocore does not know."""
    try:
        credentials = session.get_credentials()
        if credentials is None:
            raise CloudFailure("no-local-identity")
        frozen = credentials.get_frozen_credentials()
    except RuntimeError as exc:  # "refreshed credentials are still expired", which has no class of its own
        raise CloudFailure("expired-token", "found in the environment or a profile") from exc
    except MetadataRetrievalError as exc:
        # The chain's last link says so where no service answers, as on every laptop. A profile may demand it, though.
        demanded = "credential_source" in session.get_scoped_config()
        raise CloudFailure("metadata-unreachable" if demanded else "no-local-identity") from exc
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as exc:  # what odd files and programs lead it to
        by_program = "credential_process" in session.get_scoped_config()
        code = "credential-process-failed" if by_program else "aws-configuration"
        raise CloudFailure(code, type(exc).__name__) from exc
    if not frozen.access_key or not frozen.secret_key:
        raise CloudFailure("partial-credentials")
    found = AwsCredentials(
        access_key_id=frozen.access_key,
        secret_access_key=Secret(frozen.secret_key),
        session_token=Secret(frozen.token) if frozen.token else None,
    )
    expires_at = _utc(getattr(credentials, "_expiry_time", None)) or _expiry_in_profile(session, credentials.method)
    return found, expires_at, str(credentials.method)


def _expiry_in_profile(session: Any, method: str) -> datetime | None:  # noqa: ANN401  botocore has no types
    """Return when the session in a profile ends, where the program that wrote it said so (saml2aws and its like)."""
    if method not in FILE_METHODS:
        return None
    try:
        return parsed_expiry(str(session.get_scoped_config().get(EXPIRY_IN_PROFILE, "")))
    except CloudFailure:
        return None


def local_session(profile: str) -> Any:  # noqa: ANN401  botocore has no types
    """Return a session with boto3's default chain that asks nobody for a one-time code: there is no terminal here."""

    def refuse(*_: object) -> str:
        name = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
        export = f"eval $(aws configure export-credentials --profile {shlex.quote(name)} --format env)"
        raise CloudFailure(
            "mfa-needed", hint=f"{export}, which asks for the code; then call this again with --aws local"
        )

    # botocore writes an expiry of its own over one that is near, so that clients go on with what they have.
    fetcher: Any = InstanceMetadataFetcher
    fetcher._evaluate_expiration = lambda *_: None  # noqa: SLF001  there is no switch
    session = botocore.session.Session(profile=profile or None)
    session.get_component("credential_provider").get_provider("assume-role")._prompter = refuse  # noqa: SLF001  botocore has no public way to set its prompter
    return session


def _forwarded(
    found: AwsCredentials, expires_at: datetime | None, *, method: str, region: str, request: AwsLocalIdentity
) -> AwsObtained:
    now = datetime.now(UTC)
    guessed: tuple[Notice, ...] = ()
    known = expires_at is not None
    if expires_at is None:
        lifetime = timedelta(seconds=request.duration_s) if request.duration_s else CAUTIOUS
        why = f"nobody knows when this session expires; it is forwarded for {int(lifetime.total_seconds()) // 60} min"
        guessed, expires_at = (Notice(code="expiry-unknown", why=why),), now + lifetime
    bounded, notices = bounded_expiry(expires_at, now=now, skew_s=None)
    return _with_caller(
        AwsObtained(
            credentials=structs.replace(found, region=region, expires_at=bounded),
            origin=Origin.BUNDLE,
            method=method,
            notices=(*guessed, *notices),
            expiry_known=known,
        )
    )


def _session_from(found: AwsCredentials, *, method: str, region: str, request: AwsLocalIdentity) -> AwsObtained:
    asked_s = min(max(request.duration_s or DEFAULT_SESSION_S, SHORTEST_S), LONGEST_S)
    try:
        response = client("sts", found, region or FALLBACK_REGION).get_session_token(DurationSeconds=asked_s)
    except (BotoCoreError, ClientError) as exc:
        raise from_botocore(exc) from exc
    issued = session_from(response, region=region, origin=Origin.BUNDLE, method=method)
    return _with_caller(issued)


def _with_caller(obtained: AwsObtained) -> AwsObtained:
    """Add whose credentials these are. A session that STS calls ended is refused; no answer of STS is a notice."""
    told = caller_if_told(
        obtained.credentials, obtained.credentials.region or FALLBACK_REGION, patience_s=IDENTITY_PATIENCE_S
    )
    if isinstance(told, CloudFailure):
        if told.code in FATAL_CODES:
            raise told
        unknown = Notice(code="principal-unknown", why=f"STS did not say whose credentials these are: {told.code}")
        return structs.replace(obtained, notices=(*obtained.notices, unknown))
    notices = tuple(dict.fromkeys((*obtained.notices, *skew_notices(told.skew_s))))
    return structs.replace(obtained, principal=told.arn, account=told.account, notices=notices, skew_s=told.skew_s)


def region_of(session: Any) -> str:  # noqa: ANN401  botocore has no types
    """Return the region that is configured; empty where none is."""
    return str(session.get_config_variable("region") or os.environ.get("AWS_REGION") or "")


def _utc(expiry: datetime | None) -> datetime | None:
    if expiry is None or expiry.tzinfo is None:
        return None
    return expiry.astimezone(UTC)
