"""One forwarder gives way to another when most trusted machines follow that one, and for nothing else."""

from credagent.bundle.key_pairs import RecipientPrivateKey, RecipientPublicKey
from credagent.dask_cluster.agent_report import AgentReport
from credagent.forwarder.competing_forwarders import ENDED, Forwarder, installed, successor
from credagent.forwarder.key_trust import Distrusted, TrustedRecipient
from credagent.forwarder.known_machines import Machine

ME = Forwarder(name="credagent-forward-me", sender="aa")
SELF_AGAIN = Forwarder(name="credagent-forward-again", sender="aa")
STRANGER = Forwarder(name="credagent-forward-stranger", sender="bb")


def machine(
    known: Forwarder | None = ME,
    *,
    replaced_by: str = "",
    trusted: bool = True,
    key: RecipientPublicKey | None = None,
    host: str = "h",
) -> Machine:
    found = known or Forwarder()
    report = AgentReport(
        address=f"tcp://{host}:1",
        host=host,
        key=key or RecipientPrivateKey.generate().public_key,
        forwarder=found.name,
        forwarder_sender=found.sender,
        forwarder_ended=found.how_ended,
    )
    verdict = TrustedRecipient(report.key, "lab") if trusted else Distrusted("c", "why")
    return Machine(report=report, verdict=verdict, replaced_by=replaced_by)


def test_nobody_follows_a_forwarder_that_was_not_heard_of() -> None:
    assert successor([], ME) is None
    assert successor([machine(), machine(None)], ME) is None


def test_whoever_has_the_same_key_takes_over_once_most_machines_know_it() -> None:
    assert successor([machine(SELF_AGAIN), machine(SELF_AGAIN), machine()], ME) == SELF_AGAIN
    assert successor([machine(SELF_AGAIN), machine()], ME) is None


def test_another_key_takes_over_once_its_bundle_has_replaced_ours_on_most_machines() -> None:
    followed = Forwarder(sender="bb")
    assert successor([machine(replaced_by="bb"), machine(replaced_by="bb"), machine()], ME) == followed
    assert successor([machine(replaced_by="bb"), machine()], ME) is None


def test_another_key_that_has_only_installed_itself_takes_nothing_over() -> None:
    assert successor([machine(STRANGER), machine(STRANGER)], ME) is None


def test_machines_that_are_not_trusted_have_no_vote() -> None:
    voters = [machine(SELF_AGAIN, replaced_by="bb", trusted=False) for _ in range(5)]
    assert successor([*voters, machine()], ME) is None
    assert installed(voters) is None


def test_a_key_that_many_hosts_claim_is_one_vote_and_that_only_in_agreement() -> None:
    key = RecipientPrivateKey.generate().public_key
    claims = [machine(SELF_AGAIN, key=key, host=f"evil-{number}") for number in range(5)]
    assert successor([*claims, machine(), machine()], ME) is None
    assert successor([*claims, machine(key=key, host="honest")], ME) is None


def test_what_most_machines_know_as_installed_is_at_work_until_it_says_that_it_ended() -> None:
    ended = Forwarder(name=STRANGER.name, sender="bb", how_ended=ENDED)
    assert installed([machine(STRANGER), machine(STRANGER), machine()]) == STRANGER
    assert installed([machine(ended), machine(ended), machine()]) == ended
    assert installed([machine(None)]) is None


def test_one_process_is_known_by_more_than_its_number() -> None:
    """Two containers may have one hostname, and a process of the same number each."""
    mine, again, other = (
        Forwarder(name=f"credagent-forward-h-7-{rest}", sender="aa") for rest in ("x-1", "x-2", "y-3")
    )
    assert mine.is_of_the_process_of(again)
    assert not mine.is_of_the_process_of(other)
    assert not mine.is_of_the_process_of(Forwarder(name=again.name, sender="bb"))
    assert not Forwarder().is_of_the_process_of(Forwarder())
