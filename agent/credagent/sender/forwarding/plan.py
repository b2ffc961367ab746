"""What is forwarded, to whom and on what ground, as one frozen value."""

from collections.abc import Callable, Mapping

from msgspec import Struct

from credagent.bundle.keys import SenderPrivateKey
from credagent.sender.forwarding.address import Place
from credagent.sender.options import Options
from credagent.sender.recipients import Recipient


class Plan(Struct, frozen=True, kw_only=True):
    """`options.audience` empty: what each machine announces. `whereabouts` is asked at each connection anew."""

    options: Options
    key: SenderPrivateKey
    pinned: tuple[Recipient, ...]
    trust: str | None
    whereabouts: Callable[[], Place]
    environ: Mapping[str, str]
