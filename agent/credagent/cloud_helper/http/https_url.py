r"""An https address that came from elsewhere, parsed once and rebuilt: what was judged is what is fetched.

Parsers disagree about what is no address by the standard (RFC 3986): `https://127.0.0.1\.example.org/` is the host
`127.0.0.1\.example.org` to one and `127.0.0.1` to another. So the grammar here is narrower than any of theirs (no
user, no backslash, hosts of letters, digits, dots, hyphens and underscores, or an IPv6 literal), and requests are
given the address that is written anew from its parts. Pure.
"""

import re

from msgspec import Struct

HTTPS_PORT = 443
LAST_PORT = 65_535
_ADDRESS = re.compile(
    r"https://(?P<host>[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_.])?|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:[/?][!-~]*)?)",
    re.ASCII | re.IGNORECASE,
)


class HttpsUrl(Struct, frozen=True, kw_only=True):
    """An address. `host` in lower case, without brackets and without a dot at its end; `path` with its query."""

    host: str
    port: int = HTTPS_PORT
    path: str = "/"

    @property
    def origin(self) -> tuple[str, int]:
        """What two addresses of one server have in common (both are https)."""
        return self.host, self.port

    def __str__(self) -> str:
        """Write the address in the one way that every parser reads alike."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}{'' if self.port == HTTPS_PORT else f':{self.port}'}{self.path}"


def parse_https_url(text: str) -> HttpsUrl | None:
    """Return the address in `text` without its fragment; None where it is not https, or not beyond doubt."""
    found = _ADDRESS.fullmatch(text.partition("#")[0])
    if found is None or "\\" in text or int(found["port"] or HTTPS_PORT) not in range(1, LAST_PORT + 1):
        return None
    path = found["path"]
    return HttpsUrl(
        host=found["host"].lower().strip("[]").rstrip("."),
        port=int(found["port"] or HTTPS_PORT),
        path=path if path.startswith("/") else f"/{path}",
    )
