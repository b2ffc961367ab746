"""Every key of the configuration, with its kind. Defaults are in `sections`."""

from collections.abc import Mapping

from credagent.config.channel_grammar import CREDENTIAL, VARIABLE
from credagent.config.values import (
    ValueKind,
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

_TRUTH = ValueKind("boolean", as_it_is)
_DURATION = ValueKind("text", duration, suffix="_s")
_FALLBACK = choice("absent", "expired", "never")
_ACCOUNTS = ValueKind(
    "list", matching(r"[^\s:,/\x00-\x1f]{1,256}", "not the name of a user or group", "write a name or a number")
)

_IDENTITY = (
    r"arn:aws[a-z-]*:iam::[0-9]{12}:(?:root|user/[\w+=,.@/-]{1,576})"
    r"|arn:aws[a-z-]*:sts::[0-9]{12}:assumed-role/[\w+=,.@:-]{1,64}/(?:\*|[\w+=,.@-]{2,64})"
    r"|google:[^\s@*]{1,128}@[^\s@*]{1,128}"
)
"""Of a role only the session's name may be left open: who has the role chooses it anyhow."""

KEYS: Mapping[str, ValueKind] = {
    "agent.audience": ValueKind("text", audience),
    "agent.runtime_dir": ValueKind("text", folder),
    "agent.state_dir": ValueKind("text", folder),
    "agent.settle": _DURATION,
    "agent.min_validity": _DURATION,
    "bundle.channels": ValueKind("list", channel),
    "bundle.recipient_keys": ValueKind(
        "list",
        placed(
            rf"state|file:/[^\x00-\x1f]+|credential:{CREDENTIAL}|(?:aws|gcp)-kms:[!-~]+",
            "not a recipient key",
            'write "state", "file:/PATH", "credential:NAME", "aws-kms:ARN" or "gcp-kms:projects/…"',
        ),
        least=1,
    ),
    "bundle.trusted_senders": ValueKind(
        "list",
        placed(
            r"credagent-sender:ed25519:[A-Za-z0-9_-]+(?: [^\x00-\x1f]*)?|file:/[^\x00-\x1f]+",
            "not the public key of a sender",
            'write "credagent-sender:ed25519:…", as in its .pub file, or "file:/PATH"',
        ),
    ),
    "bundle.trusted_identities": ValueKind(
        "list",
        matching(
            _IDENTITY,
            "not an identity that a cloud attests",
            'write "arn:aws:iam::123456789012:user/NAME", "arn:aws:sts::123456789012:assumed-role/ROLE/*" or '
            '"google:NAME@PROJECT.iam.gserviceaccount.com", as `credagent whoami` prints it',
        ),
    ),
    "bundle.identity_max_age": _DURATION,
    "bundle.expect": choice("optional", "required"),
    "bundle.max_age": _DURATION,
    "bundle.deliver_users": _ACCOUNTS,
    "aws.handover": choice("environment", "endpoint", "off"),
    "aws.fallback": _FALLBACK,
    "aws.required": _TRUTH,
    "aws.region": ValueKind(
        "text", matching(r"[a-z0-9-]{0,64}", "not a region", 'write it as AWS does: "eu-central-1"')
    ),
    "aws.assumable_roles": ValueKind(
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
    "google.project": ValueKind(
        "text", matching(r"[a-z0-9.:-]{0,128}", "not a project id", "write the id, not the title")
    ),
    "google.scopes": ValueKind("list", matching(r"[!-~]{1,512}", "not a scope", "write it as Google does"), least=1),
    "google.impersonable": ValueKind(
        "list",
        matching(
            r"[^\s@]+@[^\s@]+", "not a service account", 'write its address: "NAME@PROJECT.iam.gserviceaccount.com"'
        ),
    ),
    "google.admit_refresh_token": _TRUTH,
    "environment.admit": choice("any", "listed"),
    "environment.allow": ValueKind(
        "list", matching(VARIABLE, "not a variable's name", "letters, digits and _, no * or value")
    ),
    "workers.env_file": ValueKind(
        "text",
        placed(
            r"(?:/(?!dev/[^/]*$)[^\x00-\x1f]*[^\x00-\x1f/])?",  # not a device: writing would rename a file over it
            "not an absolute path of a file",
            'write it from the root on, or "" for none',
        ),
    ),
    "workers.users": _ACCOUNTS,
    "workers.groups": _ACCOUNTS,
    "workers.intercept": _TRUTH,
    "workers.intercept_imdsv1": _TRUTH,
    "workers.intercept_others": choice("leave", "reject"),
    "endpoint.listen": ValueKind("list", address),
    "endpoint.metrics": ValueKind("text", address_or_none),
    "log.format": choice("auto", "json", "console"),
    "log.level": choice("debug", "info", "warning", "error"),
}
SECTIONS = tuple(dict.fromkeys(key.partition(".")[0] for key in KEYS))
