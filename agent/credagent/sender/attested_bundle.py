"""A sealed bundle with its sender's attestation beside it: for machines that trust senders by identity."""

from collections.abc import Mapping

from credagent.admission import attested_senders
from credagent.bundle import envelope
from credagent.cloud_helper.helper_call import call_blocking
from credagent.cloud_helper.job_requests import AttestSender
from credagent.sender.grant_options import GrantOptions


def request_for(text: str, options: GrantOptions) -> AttestSender:
    """Return what is asked of the sender's own cloud for this bundle: its AWS identity attests, else Google's."""
    statement = attested_senders.statement_of(envelope.parse(text).header)
    return AttestSender(binding=statement.binding, by_google=not options.wants_local_aws, profile=options.profile)


def attested(text: str, options: GrantOptions, environ: Mapping[str, str]) -> str:
    """Return the bundle with the attestation behind it; it is believed for 15 minutes. Raises Unavailable."""
    return f"{text}\n{call_blocking(request_for(text, options), environ=environ).attestation}"
