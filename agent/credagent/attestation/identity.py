"""Whose a proof is: AWS's answer to sts:GetCallerIdentity or the claims of Google's token, as a value and as words."""

import re
from collections.abc import Mapping

from msgspec import Struct

from credagent.attestation.refusal_codes import AttestationCode, refusal
from credagent.bundle.fingerprint import fingerprint

INSTANCE_ROLE = "aws:ec2-instance"
"""The role that every EC2 instance has and nobody can assume: no role of an account may have a colon in its name."""
_ACCOUNT = re.compile(r"[0-9]{12}")
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]{0,20}):(?P<service>iam|sts)::(?P<account>[0-9]{12}):(?P<resource>[!-~]{1,1024})"
)
_ASSUMED = re.compile(r"assumed-role/(?P<role>[\w+=,.@:-]{1,64})/(?P<session>[\w+=,.@-]{2,64})", re.ASCII)
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")
_NAME = re.compile(r"[!-~]{1,256}")
_DIGITS = re.compile(r"[0-9]{1,20}")


class AwsIdentity(Struct, frozen=True, kw_only=True, tag="aws"):
    """Who AWS says signed. `role` and `session` are empty for a user.

    `instance` is an instance's id where AWS vouches for it: of a role that somebody may assume, the session's name is
    whatever its holder chose.
    """

    partition: str
    account: str
    arn: str
    role: str = ""
    session: str = ""
    instance: str = ""

    @property
    def name(self) -> str:
        """Return it for the configuration: its ARN."""
        return self.arn

    @property
    def words(self) -> str:
        """Say who it is."""
        if self.instance:
            return f"{self.instance} in account {self.account}"
        if self.role:
            return (
                f"{self.session} in account {self.account} "
                f"(role {self.role}; whoever has the role chooses the session's name)"
            )
        return f"{self.arn.rpartition(':')[2]} in account {self.account}"


class GoogleIdentity(Struct, frozen=True, kw_only=True, tag="google"):
    """Whom Google's token names. `project` and the rest are those of a machine, and empty where it names none."""

    email: str
    project: str = ""
    zone: str = ""
    instance: str = ""
    instance_name: str = ""

    @property
    def name(self) -> str:
        """Return it for the configuration."""
        return f"google:{self.email}"

    @property
    def words(self) -> str:
        """Say who it is."""
        if self.instance:
            return f"{self.instance_name} ({self.instance}) in project {self.project}, zone {self.zone} ({self.email})"
        return f"whoever acts as {self.email} (no machine is named)"


Identity = AwsIdentity | GoogleIdentity


def from_caller_identity(answer: Mapping[str, object], partition: str) -> AwsIdentity:
    """Return the identity in the three fields of AWS's answer, each of which must agree with the others.

    `partition` is that of the host that answered. Raises Refused.
    """
    arn, user_id, account = answer.get("Arn"), answer.get("UserId"), answer.get("Account")
    found = _ARN.fullmatch(arn) if isinstance(arn, str) else None
    if found is None or not isinstance(arn, str) or not isinstance(user_id, str) or not _is(_ACCOUNT, account):
        raise refusal(AttestationCode.ANSWER_MALFORMED, "AWS's answer does not say who this is")
    if found["partition"] != partition:
        why = f"the identity is of partition {found['partition']}, and {partition} was asked"
        raise refusal(AttestationCode.PARTITION, why)
    if found["account"] != account:
        raise refusal(AttestationCode.ACCOUNT, "AWS's answer names two accounts")
    identity = AwsIdentity(partition=partition, account=found["account"], arn=arn)
    if found["service"] == "iam" or found["resource"].startswith("federated-user/"):
        return identity
    assumed = _ASSUMED.fullmatch(found["resource"])
    if assumed is None:
        raise refusal(AttestationCode.ANSWER_MALFORMED, "AWS's answer does not say who this is")
    role, session = assumed["role"], assumed["session"]
    if role != INSTANCE_ROLE:
        if user_id.partition(":")[2] != session or ":" in role:
            raise refusal(AttestationCode.INSTANCE, "AWS's answer names two sessions")
        return AwsIdentity(partition=partition, account=identity.account, arn=arn, role=role, session=session)
    if user_id != f"{account}:{INSTANCE_ROLE}:{session}" or not _INSTANCE.fullmatch(session):
        raise refusal(AttestationCode.INSTANCE, "AWS's answer names two instances")
    return AwsIdentity(
        partition=partition, account=identity.account, arn=arn, role=role, session=session, instance=session
    )


def from_claims(claims: Mapping[str, object]) -> GoogleIdentity:
    """Return the identity in the claims of a token that was verified. Raises Refused."""
    email = claims.get("email")
    if not _is(_NAME, email) or claims.get("email_verified") is not True or "@" not in str(email):
        raise refusal(AttestationCode.TOKEN_CLAIMS, "the token names no service account")
    google = claims.get("google")
    if google is None:
        return GoogleIdentity(email=str(email))
    machine = google.get("compute_engine") if isinstance(google, Mapping) else None
    if machine is None and isinstance(google, Mapping):
        return GoogleIdentity(email=str(email))
    if not isinstance(machine, Mapping):
        raise refusal(AttestationCode.TOKEN_CLAIMS, "what the token says of a machine cannot be understood")
    named = {name: machine.get(name) for name in ("project_id", "zone", "instance_name")}
    if not all(_is(_NAME, value) for value in named.values()) or not _is(_DIGITS, machine.get("instance_id")):
        raise refusal(AttestationCode.TOKEN_CLAIMS, "what the token says of a machine cannot be understood")
    return GoogleIdentity(
        email=str(email),
        project=str(named["project_id"]),
        zone=str(named["zone"]).rpartition("/")[2],
        instance=str(machine["instance_id"]),
        instance_name=str(named["instance_name"]),
    )


def ground(identity: Identity, key_id: str) -> str:
    """Say on what ground a key is believed."""
    cloud = "AWS" if isinstance(identity, AwsIdentity) else "Google"
    return f"{cloud} says that key {fingerprint(key_id)} belongs to {identity.words}"


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
