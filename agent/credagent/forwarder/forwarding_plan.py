"""What is forwarded, to which cluster, and why its keys are believed, as one frozen value."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from credagent.attestation.policy import AttestPolicy
from credagent.bundle.key_pairs import SenderPrivateKey
from credagent.dask_cluster.scheduler_address import SchedulerAddress
from credagent.sender.grant_options import GrantOptions
from credagent.sender.recipients import Recipient


class ForwardingPlan(Struct, frozen=True, kw_only=True):
    """`options.audience` empty: what each machine names. `whereabouts` is asked at each connection anew.

    `is_client_closed` tells whether the Dask client was closed that forwarding was begun with.
    `attest` says whose attested machines are believed; what it leaves open is what is forwarded.
    `stands_by`: another forwarder with the same key is left at work, and followed when it has ended.
    """

    options: GrantOptions
    key: SenderPrivateKey
    pinned: tuple[Recipient, ...]
    trust: str | None
    whereabouts: Callable[[], SchedulerAddress]
    environ: Mapping[str, str]
    stands_by: bool = False
    is_client_closed: Callable[[], bool] = bool
    attest: AttestPolicy = AttestPolicy()
