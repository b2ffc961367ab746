"""Whose attested machines get something: those of the forwarded account or project, or of what a person named."""

from typing import Any

import pytest

from credagent.attestation import policy
from credagent.attestation.identity import INSTANCE_ROLE, AwsIdentity, GoogleIdentity, ground
from credagent.attestation.policy import AttestPolicy
from credagent.attestation.statement import KeyStatement, Purpose
from credagent.errors import UsageError

OWN, OTHER = "123456789012", "999999999999"


def instance(account: str = OWN) -> AwsIdentity:
    arn = f"arn:aws:sts::{account}:assumed-role/{INSTANCE_ROLE}/i-0abc1234"
    return AwsIdentity(
        partition="aws", account=account, arn=arn, role=INSTANCE_ROLE, session="i-0abc1234", instance="i-0abc1234"
    )


def in_role(role: str = "dask-node", account: str = OWN) -> AwsIdentity:
    arn = f"arn:aws:sts::{account}:assumed-role/{role}/i-0abc1234"
    return AwsIdentity(partition="aws", account=account, arn=arn, role=role, session="i-0abc1234")


USER = AwsIdentity(partition="aws", account=OWN, arn=f"arn:aws:iam::{OWN}:user/ana")
VM = GoogleIdentity(email="d@p.iam.gserviceaccount.com", project="p-one", zone="z", instance="1", instance_name="n")
POD = GoogleIdentity(email="d@p.iam.gserviceaccount.com")


@pytest.mark.parametrize(
    ("said", "identity", "expected"),
    [
        ({}, instance(), ""),
        ({}, in_role(), ""),
        ({}, instance(OTHER), "other-account"),
        ({}, in_role(account=OTHER), "other-account"),
        ({}, USER, "other-role"),
        ({"aws_accounts": OTHER}, instance(OTHER), ""),
        ({"aws_accounts": OTHER}, instance(), "other-account"),
        ({"aws_roles": "dask-node"}, in_role(), ""),
        ({"aws_roles": "dask-node"}, in_role(account=OTHER), "other-account"),
        ({"aws_roles": "dask-node"}, in_role("admin"), "other-role"),
        ({"aws_roles": "dask-node"}, instance(), "other-role"),
        ({"aws_roles": [f"arn:aws:iam::{OWN}:role/team/dask-node"]}, in_role(), ""),
        ({"aws_roles": [f"arn:aws:iam::{OTHER}:role/dask-node"]}, in_role(account=OTHER), ""),
        ({"aws_roles": [f"arn:aws:iam::{OTHER}:role/dask-node"]}, in_role(), "other-role"),
        ({}, VM, ""),
        ({"google_projects": "p-two"}, VM, "other-project"),
        ({}, POD, "not-a-machine"),
        ({"google_accounts": POD.email}, POD, ""),
        ({"google_accounts": POD.email}, VM, ""),
        ({"google_accounts": "e@p.iam.gserviceaccount.com"}, POD, "other-service-account"),
        ({"google_accounts": "e@p.iam.gserviceaccount.com"}, VM, "other-service-account"),
    ],
)
def test_a_machine_is_believed_or_refused_for_one_reason(said: Any, identity: Any, expected: str) -> None:
    by = policy.parse(said).or_else(aws_accounts=[OWN], google_projects=["p-one"])
    refused = by.refused(identity)
    assert (refused.code if refused else "") == expected


def test_where_nothing_is_known_of_one_s_own_account_nobody_is_believed() -> None:
    refused = AttestPolicy().refused(instance())
    assert refused is not None
    assert refused.code == "nothing-trusted"


@pytest.mark.parametrize(
    "said",
    [{"aws_accounts": "1"}, {"aws_accounts": []}, {"aws_account": OWN}, {"google_accounts": ["x"]}, {"aws_roles": 5}],
)
def test_what_means_nothing_is_refused_before_anything_is_asked(said: Any) -> None:
    with pytest.raises(UsageError) as raised:
        policy.parse(said)
    assert raised.value.hint


def test_the_ground_is_said_in_words() -> None:
    told = ground(instance(), "1f2e3d4c")
    assert told == f"AWS says that key 1f2e3d4c belongs to i-0abc1234 in account {OWN}"
    assert "project p-one" in ground(VM, "1f2e3d4c")
    assert "no machine is named" in ground(POD, "1f2e3d4c")


def test_a_binding_differs_with_everything_that_it_binds() -> None:
    one = KeyStatement(purpose=Purpose.RECIPIENT, key_line="a", audience="bc")
    others = [
        KeyStatement(purpose=Purpose.SENDER, key_line="a", audience="bc"),
        KeyStatement(purpose=Purpose.RECIPIENT, key_line="ab", audience="c"),
        KeyStatement(purpose=Purpose.RECIPIENT, key_line="a", audience="bc", sequence=1),
    ]
    assert len({one.binding, *(other.binding for other in others)}) == 4
    assert len(one.binding) == 43
