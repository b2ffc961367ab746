"""The ruleset of interception: who is redirected, who is not, and an address that stands for exactly this ruleset."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from credagent.config import Config, EndpointSection, WorkersSection
from credagent.config.sections import Address
from credagent.errors import ConfigurationError
from credagent.handover.interception.configured_ruleset import _subordinates, configured_ruleset
from credagent.handover.interception.nftables_rules import Ruleset, as_text, probe_address

AGENT = 990
RULESET = Ruleset(
    agent=AGENT, users=frozenset({0, AGENT, 1000, 1001}), groups=frozenset({50}), port=9817, port_ipv6=9818
)


def test_users_and_groups_are_redirected_in_both_families_and_nothing_but_port_80_is() -> None:
    rules = as_text(RULESET)
    for who in ("meta skuid { 1000, 1001 }", "meta skgid { 50 }"):
        assert f"{who} ip daddr 169.254.169.254 tcp dport 80 redirect to :9817\n" in rules
        assert f"{who} ip6 daddr {{ fd00:ec2::254, fd20:ce::254 }} tcp dport 80 redirect to :9818\n" in rules
    assert set(re.findall(r"dport (\d+)", rules)) == {"80"}


def test_root_and_the_agent_are_spared_before_anything_is_redirected_or_refused() -> None:
    for chain in as_text(structs.replace(RULESET, rejects_others=True)).split("chain ")[1:3]:
        rules = [rule for rule in chain.splitlines() if "169.254.169.254" in rule or "meta skuid" in rule]
        assert rules[0].strip() == f"meta skuid {{ 0, {AGENT} }} return"


def test_others_are_left_alone_unless_they_are_to_be_refused() -> None:
    lone = "\t\tip daddr 169.254.169.254 tcp dport { 80, 443, 8080 } reject"
    assert lone not in as_text(RULESET)
    assert "hook forward" not in as_text(RULESET)
    assert as_text(structs.replace(RULESET, rejects_others=True)).count(lone) == 2


def test_a_connection_of_a_worker_that_is_older_than_the_rules_is_refused() -> None:
    assert (
        "meta skuid { 1000, 1001 } ip daddr 169.254.169.254 tcp dport { 80, 443, 8080 } reject with tcp reset\n"
        in as_text(RULESET)
    )


def test_the_probe_address_is_loopback_and_another_for_every_other_ruleset() -> None:
    others = [
        structs.replace(RULESET, users=frozenset({1000})),
        structs.replace(RULESET, groups=frozenset()),
        structs.replace(RULESET, subordinate_users=((100_000, 165_535),)),
        structs.replace(RULESET, agent=991),
        structs.replace(RULESET, port=9816),
        structs.replace(RULESET, rejects_others=True),
    ]
    addresses = {probe_address(one)[0] for one in (RULESET, *others)}
    assert len(addresses) == 1 + len(others)
    assert all(re.fullmatch(r"127\.(1[2-9][0-9]|2[0-9]{2})\.\d+\.\d+", address) for address in addresses)


def test_uids_that_workers_can_become_are_redirected_like_themselves_and_overlapping_ranges_are_joined() -> None:
    ranges = ((1001, 1002), (100_000, 165_535), (100_000, 165_535), (165_530, 165_540))
    rules = as_text(structs.replace(RULESET, subordinate_users=ranges))
    assert "meta skuid { 1000, 1001-1002, 100000-165540 } ip daddr 169.254.169.254 tcp dport 80 redirect" in rules


def test_the_subordinate_uids_of_worker_users_are_found_by_name_and_by_number(tmp_path: Path) -> None:
    subuid = tmp_path / "subuid"
    subuid.write_text("daemon:100000:65536\n1000:200000:10\nbin:300000:10\ndaemon:x:1\n\ndaemon:4294967290:99\n")
    assert _subordinates({1, 1000}, str(subuid)) == [
        (100_000, 165_535),
        (200_000, 200_009),
        (4_294_967_290, 4_294_967_294),
    ]
    assert _subordinates({1}, str(tmp_path / "missing")) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs nft, and root to run it")
@pytest.mark.parametrize("rejects_others", [False, True])
def test_nft_reads_it(*, rejects_others: bool) -> None:
    ranges = ((100_000, 165_535), (100_000, 165_535))
    rules = as_text(structs.replace(RULESET, rejects_others=rejects_others, subordinate_users=ranges))
    checked = subprocess.run(["nft", "--check", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def configured(listen: tuple[Address, ...] = EndpointSection().listen, **workers: object) -> Config:
    section = structs.replace(WorkersSection(intercept=True, groups=()), **workers)
    return Config(workers=section, endpoint=EndpointSection(listen=listen))


def test_members_of_groups_are_listed_by_their_numbers() -> None:
    ruleset = configured_ruleset(configured(users=("1000",), groups=("daemon",)), agent=AGENT)
    assert {1, 1000} <= ruleset.users
    assert ruleset.groups == {1}


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (configured(intercept=False), "interception-off"),
        (configured(users=("nobody-of-this-name",)), "interception-of-nobody"),
        (configured(users=("0", str(AGENT))), "interception-of-nobody"),
        (configured(users=("1000",), listen=(Address("127.0.0.1", 0),)), "interception-port"),
        (configured(users=("1000",), listen=(Address("::1", 9817),)), "interception-port"),
    ],
)
def test_a_configuration_without_a_ruleset_says_why(config: Config, code: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured_ruleset(config, agent=AGENT)
    assert caught.value.code == code
    assert caught.value.hint
