"""What tests and the demo do to the cloud: the same functions in-process and, by the admin face, from other processes.

Arguments and answers are JSON values (and bytes), so that both ways are one interface. It answers no client of a cloud.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from . import sessions
from .accounts import DEFAULT_ROLE_SESSION_S, WebIdentity
from .cloud import Cloud
from .container import Container
from .faults import Fault
from .google_metadata import GoogleMetadata, with_attribute
from .imds import Imds
from .kms import Kms
from .ledger import Issued
from .objects import Buckets
from .project import CLOUD_PLATFORM, TOKEN_LIFETIME_S, new_key

Document = dict[str, Any]


class Controls:
    """Every public method is callable by its name through the admin face."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._imds = Imds(cloud)
        self._container = Container(cloud)
        self._google_metadata = GoogleMetadata(cloud)
        self._kms = Kms(cloud)

    # What happened

    def log(self, service: str | None = None, operation: str | None = None, since: int = 0) -> list[Document]:
        """Calls in the order of their answers, each with the fields of `ledger.Call`."""
        return [asdict(call) for call in self.cloud.ledger.calls(service=service, operation=operation, since=since)]

    def ids_used(
        self, service: str | None = None, operation: str | None = None, since: int = 0, *, code: str = "ok"
    ) -> list[str]:
        """The distinct ids of the credentials that those calls used, in the order of their first use."""
        calls = self.cloud.ledger.calls(service=service, operation=operation, since=since)
        return list(dict.fromkeys(call.credential for call in calls if call.credential and call.code == code))

    def last_seq(self) -> int:
        """What to pass as `since` to see only what happens from now on."""
        calls = self.cloud.ledger.calls()
        return calls[-1].seq if calls else 0

    def forget_log(self) -> None:
        self.cloud.ledger.forget_calls()

    def credentials(self) -> list[Document]:
        """Everything that was issued, without secrets."""
        return [issued.public() for issued in self.cloud.ledger.issued()]

    def credential(self, credential: str) -> Document:
        """By id, access key id or token; without secrets. Raises KeyError."""
        issued = self.cloud.ledger.get(credential)
        if issued is None:
            raise KeyError("no such credential")
        return issued.public()

    def time(self) -> float:
        return self.cloud.now()

    # What goes wrong

    def fault(self, service: str, operation: str | None = None, **how: Any) -> str:
        """Plans a fault (`faults.Fault` has the fields) and returns its id."""
        return self.cloud.faults.plan(Fault(service, operation, **how)).id

    def faults(self) -> list[Document]:
        return self.cloud.faults.planned()

    def clear_faults(self, fault: str | None = None, service: str | None = None) -> None:
        self.cloud.faults.clear(fault, service)

    def revoke(self, credential: str) -> None:
        """By id, access key id or token."""
        self.cloud.ledger.revoke(credential)

    def expire_after(self, service: str, seconds: float | None) -> None:
        """How long what this service issues from now on lives, whatever is asked for; None: as asked again."""
        if seconds is None:
            self.cloud.lifetimes.pop(service, None)
        else:
            self.cloud.lifetimes[service] = seconds
        for holder in (self._imds, self._container, self._google_metadata):
            if service == holder.service:
                holder.rotate()

    def skew(self, seconds: float) -> None:
        """The clouds' clocks run this far ahead of the machine's."""
        self.cloud.skew_s = seconds

    # AWS

    def create_user(self, name: str) -> Document:
        """A user with a new long-term key."""
        return _revealed(sessions.user_key(self.cloud, name))

    def create_role(
        self,
        name: str,
        trusts: Sequence[str] = ("*",),
        external_id: str | None = None,
        max_session_s: int = DEFAULT_ROLE_SESSION_S,
    ) -> str:
        """Its ARN. `trusts`: patterns of the principals' ARNs."""
        role = self.cloud.account.add_role(
            name, trusts=tuple(trusts), external_id=external_id, max_session_s=max_session_s
        )
        return role.arn

    def delete_role(self, name: str) -> None:
        """It can no longer be assumed, and its sessions are refused. Raises KeyError."""
        del self.cloud.account.roles[name]

    def issue_session(self, role: str, session_name: str = "issued", lifetime_s: float = 3600) -> Document:
        """A session of a role without asking STS, as a laptop's SSO cache would hold it. Raises KeyError."""
        found = self.cloud.account.roles[role]
        return _revealed(sessions.role_session(self.cloud, "session", found, session_name, lifetime_s=lifetime_s))

    def trust_web_identity(
        self, token: str, subject: str = "system:serviceaccount:dask:worker", role: str | None = None
    ) -> None:
        """A token that AssumeRoleWithWebIdentity accepts, for one role or any."""
        self.cloud.account.web_identities[token] = WebIdentity(subject, role)

    def region(self, name: str) -> None:
        self.cloud.account.region = name

    def instance(self, **fields: Any) -> None:
        """Changes the EC2 instance (`imds.Instance` has the fields); it gets new credentials."""
        self._imds.change(replace(self._imds.instance, **fields))

    def rotate_instance(self) -> None:
        """The next request to instance metadata gets new credentials."""
        self._imds.rotate()

    def container(self, **fields: Any) -> None:
        """Changes the task or pod (`container.Task` has the fields); it gets new credentials."""
        self._container.change(replace(self._container.task, **fields))

    # Google

    def google_machine(self, **fields: Any) -> None:
        """Changes the VM (`google_metadata.Machine` has the fields); it gets new tokens."""
        self._google_metadata.change(replace(self._google_metadata.machine, **fields))

    def rotate_google_machine(self) -> None:
        """The next request to the metadata server gets a new token."""
        self._google_metadata.rotate()

    def set_attribute(self, name: str, value: str | None) -> None:
        """An instance attribute; None removes it. Answers the requests that wait for a change."""
        self._google_metadata.change(with_attribute(self._google_metadata.machine, name, value))

    def create_service_account(self, name: str) -> str:
        """Its address."""
        email = self.cloud.project.email(name)
        self.cloud.project.service_accounts.add(email)
        return email

    def create_service_account_key(self, name: str) -> Document:
        """What a key file of it holds, but for `token_uri`, which is the oauth face's `/token`."""
        email = self.create_service_account(name)
        key_id, private_key_pem = new_key(self.cloud.project, email)
        return {
            "type": "service_account",
            "project_id": self.cloud.project.project_id,
            "private_key_id": key_id,
            "private_key": private_key_pem,
            "client_email": email,
        }

    def create_refresh_token(self, principal: str, scopes: Sequence[str] = (CLOUD_PLATFORM,)) -> Document:
        """What application-default credentials of a person hold; `id` is the ledger's."""
        issued = self.cloud.ledger.issue_bearer(
            "refresh-token", principal, now=self.cloud.now(), lifetime_s=None, details={"scopes": list(scopes)}
        )
        return {
            "id": issued.id,
            "type": "authorized_user",
            "client_id": self.cloud.project.client_id,
            "client_secret": self.cloud.project.client_secret,
            "refresh_token": issued.token,
        }

    def issue_google_token(
        self, principal: str, lifetime_s: float = TOKEN_LIFETIME_S, scopes: Sequence[str] = (CLOUD_PLATFORM,)
    ) -> Document:
        """An access token of a person or an account, as a laptop would hold it."""
        issued = self.cloud.ledger.issue_bearer(
            "token", principal, now=self.cloud.now(), lifetime_s=lifetime_s, details={"scopes": list(scopes)}
        )
        return {**issued.public(), "access_token": issued.token}

    def allow_impersonation(self, who: str, whom: str) -> None:
        """Patterns of addresses: who may get tokens of whom."""
        self.cloud.project.impersonators.append((who, whom))

    def forbid_impersonation(self) -> None:
        """From now on nobody may get tokens of anybody."""
        self.cloud.project.impersonators.clear()

    def create_kms_key(self, name: str, users: Sequence[str] = ("*",)) -> None:
        """`projects/P/locations/L/keyRings/R/cryptoKeys/K`; `users`: patterns of the principals that may use it."""
        self._kms.create(name, tuple(users))

    def enable_kms_key(self, name: str, *, enabled: bool) -> None:
        self._kms.keys[name].enabled = enabled

    # Objects

    def create_bucket(self, name: str, readers: Sequence[str] = ("*",), store: str = "s3") -> None:
        """`readers`: patterns of the principals that may use it; `store`: `s3` or `gcs`."""
        self._store(store).create(name, tuple(readers))

    def put_object(self, bucket: str, key: str, data: bytes | str, store: str = "s3") -> None:
        """Makes the bucket where it is missing."""
        self._store(store).put(bucket, key, data.encode() if isinstance(data, str) else data)

    def get_object(self, bucket: str, key: str, store: str = "s3") -> str | None:
        stored = self._store(store).get(bucket, key)
        return stored.data.decode("utf-8", "replace") if stored else None

    def _store(self, name: str) -> Buckets:
        return {"s3": self.cloud.s3, "gcs": self.cloud.gcs}[name]


def _revealed(issued: Issued) -> Document:
    return {
        **issued.public(),
        "access_key_id": issued.key_id,
        "secret_access_key": issued.secret,
        "session_token": issued.token or None,
    }
