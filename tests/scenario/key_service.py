"""A key service in memory, and machines whose bundles only it opens."""

from collections.abc import Callable
from typing import Any

from credagent.admission.deferred_opening import ask
from credagent.admission.recipient_keyring import Keyring
from credagent.bundle.content_key_wrapping import StanzaKind, WrapContext
from credagent.errors import Unavailable
from tests.scenario.harness import World

Worlds = Callable[..., World]


class KeyService:
    """A key that a cloud holds; `asked` counts, `away` is a service that does not answer."""

    kind = StanzaKind.AWS_KMS

    def __init__(self, number: int = 7) -> None:
        self.recipient_id = bytes([number]) * 16
        self.asked, self.away = 0, False

    def wrap(self, content_key: bytes, context: WrapContext) -> bytes:
        return content_key[::-1] + bytes(32)

    def open_stanza(self, body: bytes, context: WrapContext) -> bytes:
        self.asked += 1
        if self.away:
            raise Unavailable("timed-out", "no answer", hint="look at the network")
        return body[:32][::-1]


def machine(worlds: Worlds, service: KeyService, aws: Any = None, **how: Any) -> World:
    """Return a machine that has a bundle in force which only the service opens, and is stopped."""
    world = worlds(started=False, **how)
    world.keyring = Keyring(openers=(service,))
    world.start()
    put(world, service, world.session() if aws is None else aws)
    world.stop()
    service.asked = 0
    return world


def put(world: World, service: KeyService, aws: Any, **how: Any) -> None:
    assert world.push(world.bundle(aws=aws, recipients=[service], **how)) == "new"


def opened(world: World) -> None:
    """Let the service answer, as the daemon does beside its loop."""
    texts = world.resolver.admission.state.unopened
    world.resolver.opened({text: ask(text, world.keyring) for text in texts})
    world.settle()


def to_both(world: World, *keys: Any) -> str:
    return world.bundle(aws=world.session(), recipients=[getattr(key, "public_key", key) for key in keys])
