"""Every key of the configuration, with its kind. Defaults are in `sections`."""

from collections.abc import Mapping

from credagent.config.channels import CREDENTIAL, VARIABLE
from credagent.config.values import (
    Kind,
    address,
    address_or_none,
    as_it_is,
    audience,
    channel,
    choice,
    duration,
    folder,
    matching,
    placed,
)

_TRUTH = Kind("boolean", as_it_is)
_DURATION = Kind("text", duration, suffix="_s")
_FALLBACK = choice("absent", "expired", "never")
_ACCOUNTS = Kind(
    "list", matching(r"[^\s:,/\x00-\x1f]{1,256}", "not the name of a user or group", "write a name or a number")
)

KEYS: Mapping[str, Kind] = {
    "agent.audience": Kind("text", audience),
    "agent.runtime_dir": Kind("text", folder),
    "agent.state_dir": Kind("text", folder),
    "agent.settle": _DURATION,
    "agent.min_validity": _DURATION,
    "bundle.channels": Kind("list", channel),
    "bundle.recipient_keys": Kind(
        "list",
        placed(
            rf"state|file:/[^\x00-\x1f]+|credential:{CREDENTIAL}|(?:aws|gcp)-kms:[!-~]+",
            "not a recipient key",
            'write "state", "file:/PATH", "credential:NAME", "aws-kms:ARN" or "gcp-kms:projects/…"',
        ),
        least=1,
    ),
    "bundle.trusted_senders": Kind(
        "list",
        placed(
            r"credagent-sender:ed25519:[A-Za-z0-9_-]+|file:/[^\x00-\x1f]+",
            "not the public key of a sender",
            'write "credagent-sender:ed25519:…", as in its .pub file, or "file:/PATH"',
        ),
    ),
    "bundle.expect": choice("optional", "required"),
    "bundle.max_age": _DURATION,
    "bundle.deliver_users": _ACCOUNTS,
    "aws.handover": choice("environment", "endpoint", "off"),
    "aws.fallback": _FALLBACK,
    "aws.required": _TRUTH,
    "aws.region": Kind("text", matching(r"[a-z0-9-]{0,64}", "not a region", 'write it as AWS does: "eu-central-1"')),
    "aws.assumable_roles": Kind(
        "list",
        matching(
            r"arn:[a-z*-]+:iam::[0-9*?]+:role/\S+",
            "not the ARN of a role",
            'write "arn:aws:iam::123456789012:role/NAME"',
        ),
    ),
    "aws.admit_long_term": _TRUTH,
    "google.handover": choice("metadata", "off"),
    "google.fallback": _FALLBACK,
    "google.required": _TRUTH,
    "google.project": Kind("text", matching(r"[a-z0-9.:-]{0,128}", "not a project id", "write the id, not the title")),
    "google.scopes": Kind("list", matching(r"[!-~]{1,512}", "not a scope", "write it as Google does"), least=1),
    "google.impersonable": Kind(
        "list",
        matching(
            r"[^\s@]+@[^\s@]+", "not a service account", 'write its address: "NAME@PROJECT.iam.gserviceaccount.com"'
        ),
    ),
    "google.admit_refresh_token": _TRUTH,
    "environment.allow": Kind(
        "list", matching(VARIABLE, "not a variable's name", "letters, digits and _, no * or value")
    ),
    "workers.env_file": Kind(
        "text",
        placed(
            r"(?:/[^\x00-\x1f]*[^\x00-\x1f/])?", "not an absolute path", 'write it from the root on, or "" for none'
        ),
    ),
    "workers.users": _ACCOUNTS,
    "workers.groups": _ACCOUNTS,
    "endpoint.listen": Kind("list", address),
    "endpoint.metrics": Kind("text", address_or_none),
    "log.format": choice("auto", "json", "console"),
    "log.level": choice("debug", "info", "warning", "error"),
}
SECTIONS = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS))
