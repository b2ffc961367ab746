"""An HTTPS server of the tests' own, and a CA made on the spot. Paths answer as they are told, or never end."""

import contextlib
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

DAY = timedelta(days=1)
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


class Page(Struct, kw_only=True):
    """What one path answers. `endless`: the body never ends; `trickle`: it comes a byte at a time."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}
    endless: bool = False
    trickle: bool = False


class Site:
    """The server: `pages` may be changed while it runs; `asked` are the paths and conditions of its requests."""

    def __init__(self, server: ThreadingHTTPServer, ca_file: Path) -> None:
        """Serve nothing yet."""
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str]] = []
        self.ca_file = ca_file
        self.port = int(server.server_address[1])

    def url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    def hold(self, path: str, bundle: str) -> None:
        self.pages[path] = Page(body=bundle.encode(), headers={"ETag": f'"{hash(bundle)}"'})


def answering(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            condition = self.headers.get("If-None-Match", "")
            site.asked.append((path, condition))
            page = site.pages.get(path, Page(status=404))
            with contextlib.suppress(OSError):
                self._answer(page, condition)

        def _answer(self, page: Page, condition: str) -> None:
            unchanged = bool(condition) and page.headers.get("ETag") == condition
            self.send_response(304 if unchanged else page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            if page.endless or page.trickle:
                self.close_connection = True
                self.end_headers()
                self._for_ever(b"x" if page.trickle else b"x" * 65_536, 0.2 if page.trickle else 0)
            body = b"" if unchanged else page.body
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _for_ever(self, block: bytes, pause_s: float) -> None:
            while True:
                self.wfile.write(block)
                self.wfile.flush()
                time.sleep(pause_s)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


class Quiet(ThreadingHTTPServer):
    """A client that does not trust us, or has read enough, hangs up: that is what is tested."""

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def site(folder: Path, *, names: tuple[str, ...] = ("localhost", "127.0.0.1"), days: int = 1) -> Iterator[Site]:
    """Serve with a certificate for `names` that ends in `days` (negative: it has ended)."""
    ca_file, chain, key = certificates(folder, names, days)
    server = Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Site(server, ca_file)
    server.RequestHandlerClass = answering(found)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificates(folder: Path, names: tuple[str, ...], days: int) -> tuple[Path, Path, Path]:
    """Make a CA and a server's certificate; return the files of the CA, the certificate and its key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests' own CA")])
    now = datetime.now(UTC)
    ca = (
        certificate(ca_name, ca_name, ca_key.public_key(), now - 9 * DAY, now + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .add_extension(usage(signs=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    own = (
        certificate(own_name, ca_name, key.public_key(), now - 8 * DAY, now + days * DAY)
        .add_extension(alternatives, critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = folder / "ca.pem", folder / "server.pem", folder / "server.key"
    files[0].write_bytes(ca.public_bytes(PEM))
    files[1].write_bytes(own.public_bytes(PEM))
    files[2].write_bytes(key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
    return files


def certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
