"""A loopback cloud for tests and the demo: AWS and Google as their SDKs see them, every credential with an id.

It imports nothing of the program under test.
"""

from .remote import Remote, RemoteError
from .simulation import Simulator, environ

__all__ = ["Remote", "RemoteError", "Simulator", "environ"]
