"""Whose key is sealed to: the caller's word, verified TLS, or an explicit choice; nothing else."""

import ssl
from typing import Any

import pytest
from msgspec.structs import replace

from credagent.bundle.key_pairs import RecipientPrivateKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.errors import UsageError
from credagent.forwarder import key_trust
from credagent.forwarder.key_trust import UNNAMED_AUDIENCE, Distrusted, KeyJudge, TrustBasis, TrustedRecipient
from credagent.sender.grant_options import GrantOptions

VERIFYING = ssl.create_default_context()
NOTHING_SAID: dict[str, Any] = {"pinned": False, "trust": None, "scheme": "tcp", "context": None}
BLIND = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
BLIND.check_hostname = False
BLIND.verify_mode = ssl.CERT_NONE


def report(host: str) -> AgentReport:
    return AgentReport(address=f"tcp://{host}:1", host=host, key=RecipientPrivateKey.generate().public_key)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"pinned": True}, TrustBasis.PINNED),
        ({"pinned": True, "scheme": "tls", "context": VERIFYING}, TrustBasis.PINNED),
        ({"scheme": "tls", "context": VERIFYING}, TrustBasis.TLS),
        ({"scheme": "gateway", "context": VERIFYING}, TrustBasis.TLS),
        ({"trust": "any"}, TrustBasis.ANY),
        ({"trust": "first-use", "scheme": "tls", "context": VERIFYING}, TrustBasis.FIRST_USE),
    ],
)
def test_there_is_one_basis(given: dict[str, Any], expected: TrustBasis) -> None:
    assert key_trust.trust_basis(**{**NOTHING_SAID, **given}) is expected


@pytest.mark.parametrize(
    "given",
    [{}, {"scheme": "tls", "context": BLIND}, {"trust": "yes"}, {"pinned": True, "trust": "any"}],
)
def test_without_a_basis_nothing_is_sent(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        key_trust.trust_basis(**{**NOTHING_SAID, **given})


@pytest.mark.parametrize(
    "lasting",
    [
        {"assume_role": "arn:aws:iam::123456789012:role/r"},
        {"impersonate": "a@p.iam.gserviceaccount.com"},
        {"allow_refresh_token": True},
        {"allow_long_term": True},
    ],
)
@pytest.mark.parametrize("basis", [TrustBasis.TLS, TrustBasis.FIRST_USE, TrustBasis.ANY])
def test_what_outlives_a_mistake_goes_to_named_recipients_only(lasting: dict[str, Any], basis: TrustBasis) -> None:
    options = GrantOptions(audience="c", **lasting)
    key_trust.demand_pinned(options, TrustBasis.PINNED)
    with pytest.raises(UsageError):
        key_trust.demand_pinned(options, basis)


def code(judge: KeyJudge, found: AgentReport, *, asked: bool = True) -> str:
    verdict = judge.judge(found, asked=asked)
    return verdict.code if isinstance(verdict, Distrusted) else ""


def test_first_use_ends() -> None:
    first, later = report("a"), report("b")
    judge = KeyJudge(TrustBasis.FIRST_USE, (), "")
    assert code(judge, first) == ""
    judge.end_first_use()
    assert code(judge, first) == ""
    assert code(judge, later) == "joined-later"
    assert code(judge, report("a")) == "key-changed"


def test_a_key_that_was_only_announced_is_no_key_of_first_use() -> None:
    judge = KeyJudge(TrustBasis.FIRST_USE, (), "")
    found = report("a")
    assert code(judge, found, asked=False) == "joined-later"
    assert code(judge, found) == ""
    assert code(judge, found, asked=False) == ""


def test_a_verdict_is_for_exactly_the_key_and_the_audience_that_were_judged() -> None:
    judge = KeyJudge(TrustBasis.ANY, (), "")
    found = report("a")
    assert judge.judge(found) == TrustedRecipient(found.key, UNNAMED_AUDIENCE)
    assert judge.judge(replace(found, audience="lab")) == TrustedRecipient(found.key, "lab")
    assert judge.judge(replace(found, audience="lab")) != judge.judge(replace(found, audience="home"))


def test_an_audience_that_the_caller_named_is_the_only_one() -> None:
    judge = KeyJudge(TrustBasis.ANY, (), "lab")
    found = report("a")
    assert judge.judge(found) == TrustedRecipient(found.key, "lab")
    assert code(judge, replace(found, audience="home")) == "other-audience"


def test_with_named_recipients_an_announced_key_is_used_only_if_it_is_one_of_them() -> None:
    own, other = report("a"), report("b")
    assert own.key is not None
    judge = KeyJudge(TrustBasis.PINNED, (own.key,), "lab")
    assert judge.judge(own) == TrustedRecipient(own.key, "lab")
    assert judge.judge(other) == TrustedRecipient(None, "lab")


def test_machines_that_share_a_key_have_one_audience_unless_the_caller_names_it() -> None:
    judge = KeyJudge(TrustBasis.PINNED, (RecipientPrivateKey.generate().public_key,), "")
    found = report("a")
    assert code(judge, found) == "no-audience"
    assert judge.judge(replace(found, audience="lab")) == TrustedRecipient(None, "lab")
    assert judge.judge(replace(found, audience="lab")) == TrustedRecipient(None, "lab")
    refused = judge.judge(replace(found, audience="prod"))
    assert isinstance(refused, Distrusted)
    assert refused.code == "other-audience"
    assert "audience=" in refused.why
