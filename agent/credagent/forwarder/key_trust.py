"""The one judge of what may be sealed to: rules for the keys and audiences that machines of a cluster name. No I/O.

A key is used only if the caller supplied it, or it was learnt over verified TLS, or its cloud vouches for it, or the
caller said `trust`. Anybody who can register a worker on a plain TCP scheduler can name a key of his own. So nothing is
sealed without a verdict: `bundle_revision` takes a TrustedRecipient for each text that it seals or gives away, and only
`KeyJudge` makes one.
"""

import ssl
from collections.abc import Iterable
from enum import Enum
from typing import Protocol

from msgspec import Struct

from credagent.bundle.envelope import audience_fault
from credagent.bundle.key_pairs import RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.dask_cluster.scheduler_address import ENCRYPTED
from credagent.errors import UsageError
from credagent.sender.grant_options import GrantOptions
from credagent.sender.recipients import Recipient

NOT_ATTESTED = "not-attested"
"""A machine of whose attestation nothing is known yet."""
UNNAMED_AUDIENCE = "dask"  # for agents that have no audience: they accept any, from a sender they trust


class TrustBasis(str, Enum):
    """Why the keys that machines name are believed."""

    PINNED = "pinned"
    TLS = "tls"
    FIRST_USE = "first-use"
    ANY = "any"
    ATTESTED = "attested"


_CHOICES = """\
recipients=[...]   (--recipient K)        the machines' public keys, one cluster key, or aws-kms:/gcp-kms: names:
                                          nobody else can open it
tls://                                    a scheduler with verified certificates: trusts it and every task on it
trust="attested"   (--trust attested)     trusts machines that AWS or Google says to be of the account or project
                                          that you forward, late ones too; stricter or wider with attest={...}
trust="first-use"  (--trust first-use)    trusts the machines that are there now; refuses later ones, changed keys
trust="any"        (--trust any)          trusts whatever machine joins: for a cluster in a network of your own"""


class TrustedRecipient(Struct, frozen=True):
    """A key and an audience that may be sealed to. `key` None: the recipients that the caller named open it.

    `grants` False: the key was believed before and is not at the moment, so that it may get what grants nothing.
    """

    key: RecipientPublicKey | None
    audience: str
    grants: bool = True


class Distrusted(Struct, frozen=True):
    """Why a machine gets nothing: a code, and a sentence for people. `passing`: it may get something in a moment."""

    code: str
    why: str
    passing: bool = False


Verdict = TrustedRecipient | Distrusted


class Attestations(Protocol):
    """What clouds say of the machines' keys (`attested_machines`)."""

    async def learn(self, report: AgentReport) -> None:
        """Find out what the cloud says of this machine."""
        ...

    def judge(self, report: AgentReport) -> Distrusted | None:
        """Return why the machine gets nothing, by what is known."""
        ...

    def has_believed(self, report: AgentReport) -> bool:
        """Tell whether the machine's key was believed, however long ago."""
        ...

    def ground(self, report: AgentReport) -> str:
        """Return on what ground its key is believed, as a sentence."""
        ...


class KeyJudge:
    """Judges every report of every machine, whatever it was the answer to.

    Remembers two things: under first use, the keys of the machines that were there before `end_first_use`; and for
    recipients that several clusters may share, the first audience that was named.
    """

    def __init__(
        self,
        basis: TrustBasis,
        recipients: Iterable[Recipient],
        audience: str,
        attestations: Attestations | None = None,
    ) -> None:
        """Judge by `basis`. `recipients` are those that the caller named, `audience` likewise or empty.

        `attestations` are needed where keys are believed because they are attested.
        """
        self._attestations = attestations if basis is TrustBasis.ATTESTED else None
        self._basis, self._recipients, self._audience = basis, frozenset(recipients), audience
        self._first_hosts: dict[str, str] = {}
        self._first_use_ended = False
        self._shared_audience = ""

    def end_first_use(self) -> None:
        """From now on, under first use, only keys that were there before are believed."""
        self._first_use_ended = True

    async def learn(self, report: AgentReport) -> None:
        """Find out what `judge` has to know of this report beforehand."""
        if self._attestations is not None and not report.fault:
            await self._attestations.learn(report)

    def ground(self, report: AgentReport) -> str:
        """Say on what ground the key of a report is believed, where a cloud vouches for it."""
        return self._attestations.ground(report) if self._attestations is not None else ""

    def judge(self, report: AgentReport, *, asked: bool = True, withdrawal: bool = False) -> Verdict:
        """Return to whom this machine's bundles are sealed, or why it gets none.

        `asked` False: the report came without a question, so that its key does not count as one of first use.
        `withdrawal`: what is to be sealed grants nothing, and goes also where a cloud's word has become old.
        """
        if fault := audience_fault(report.audience) if report.audience else "":
            return Distrusted("bad-audience", fault)
        if self._audience and report.audience not in ("", self._audience):
            return Distrusted("other-audience", f"its audience is {report.audience!r}, not {self._audience!r}")
        audience = self._audience or report.audience or UNNAMED_AUDIENCE
        if self._basis is TrustBasis.PINNED:
            if report.key in self._recipients:
                return TrustedRecipient(report.key, audience)
            return self._shared(report.audience) or TrustedRecipient(None, audience)
        if report.key is None:
            return Distrusted("no-key", "it opens bundles with a key that a KMS holds: name that key in recipients=")
        if self._basis is TrustBasis.ATTESTED:
            if self._attestations is None:
                return Distrusted(NOT_ATTESTED, "nobody was asked")
            if distrusted := self._attestations.judge(report):
                takes_back = withdrawal and self._attestations.has_believed(report)
                return TrustedRecipient(report.key, audience, grants=False) if takes_back else distrusted
        if self._basis is TrustBasis.FIRST_USE and (
            distrusted := self._first_use(report.host, report.key, open_to_all=asked and not self._first_use_ended)
        ):
            return distrusted
        return TrustedRecipient(report.key, audience)

    def _first_use(self, host: str, key: RecipientPublicKey, *, open_to_all: bool) -> Distrusted | None:
        if key.line in self._first_hosts:
            return None
        if open_to_all:
            self._first_hosts[key.line] = host
            return None
        if host in self._first_hosts.values():
            why = "its key changed since forwarding began; if you replaced the machine, forward again"
            return Distrusted("key-changed", why)
        why = (
            'it joined after forwarding began, and trust="first-use" means the machines of that moment. Forward again, '
            'or, where clusters grow, name a cluster key (recipients=), use tls://, or trust="any" in your own network'
        )
        return Distrusted("joined-later", why)

    def _shared(self, audience: str) -> Distrusted | None:
        """Hold machines that open with a key they share to one audience, where the caller named none: the first.

        What a key of its own opens, a machine of another audience refuses. What a shared key opens could be carried on
        to another cluster with that key, if a worker's word were enough to seal for that cluster's audience.
        """
        if self._audience:
            return None
        if not audience:
            why = "its agent has no audience, which a shared key needs: set agent.audience there"
            return Distrusted("no-audience", why)
        self._shared_audience = self._shared_audience or audience
        if audience == self._shared_audience:
            return None
        why = (
            f"its audience is {audience!r}, that of others {self._shared_audience!r}, and both may share the key you "
            "named: name the one that is meant, audience= (--audience)"
        )
        return Distrusted("other-audience", why)


def trust_basis(
    *,
    pinned: bool,
    trust: str | None,
    scheme: str,
    context: ssl.SSLContext | None,
    attestable: bool = False,
    attest_said: bool = False,
) -> TrustBasis:
    """Return why keys will be believed, or raise UsageError with the choices.

    `attestable`: an identity of AWS or Google is forwarded, so that there is an account or a project whose machines are
    one's own. `attest_said`: the caller named accounts, roles or projects.
    """
    if trust not in (None, "attested", "first-use", "any"):
        why = f"{trust!r} is not attested, first-use or any"
        raise UsageError("bad-option", why, what="trust", hint=f"choose one:\n{_CHOICES}")
    if pinned and trust is not None:
        hint = "leave one of the two out"
        raise UsageError("trust-twice", "with recipients= nothing else is trusted", what="trust", hint=hint)
    if attest_said and (pinned or trust not in (None, "attested")):
        hint = 'leave out attest= (--attest), or say trust="attested"'
        raise UsageError("trust-twice", "with attest= machines are attested", what="attest", hint=hint)
    if pinned:
        return TrustBasis.PINNED
    if attest_said:
        return TrustBasis.ATTESTED
    if trust is not None:
        return TrustBasis(trust)
    if scheme in ENCRYPTED and context is not None and context.verify_mode == ssl.CERT_REQUIRED:
        return TrustBasis.TLS
    if attestable:
        return TrustBasis.ATTESTED
    raise no_trust(f"nothing vouches for the keys that machines announce over {scheme}://")


def no_trust(why: str) -> UsageError:
    """Return the error for a cluster whose keys nothing vouches for, with the choices."""
    return UsageError("no-trust", why, what="forward", hint=f"choose one:\n{_CHOICES}")


def demand_pinned(options: GrantOptions, basis: TrustBasis, *, attested_by_name: bool = False) -> None:
    """Raise UsageError for what outlives a mistake unless the caller named the recipients.

    `attested_by_name`: he said that attested machines may have it, where nothing else was to be chosen.
    """
    lasting = [
        (bool(options.assume_role), "--assume-role"),
        (bool(options.impersonate), "--impersonate"),
        (options.allow_refresh_token, "--allow-refresh-token"),
        (options.allow_long_term, "--allow-long-term"),
    ]
    named = [name for wanted, name in lasting if wanted]
    allowed = basis is TrustBasis.PINNED or (basis is TrustBasis.ATTESTED and attested_by_name)
    if named and not allowed:
        why = "outlives this session, so it is sealed only to machines that you name"
        hint = (
            "add recipients=[...] (--recipient): the machines' public keys, a cluster key or a KMS name; or say that "
            'attested machines may have it: trust="attested" (--trust attested)'
        )
        raise UsageError("pin-needed", why, what=named[0], hint=hint)


def demand_still(basis: TrustBasis, scheme: str) -> None:
    """Raise UsageError where keys are believed for TLS's sake and the scheduler is to be reached without it.

    A cluster object is asked anew at each connection, and may then name another address.
    """
    if basis is TrustBasis.TLS and scheme not in ENCRYPTED:
        raise no_trust(f"the scheduler is at a {scheme}:// address now, where nothing vouches for announced keys")
