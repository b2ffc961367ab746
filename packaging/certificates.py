"""The machine's certificate authorities, in place of certifi's list: the packages put this module into `certifi.core`.

What an administrator adds to or removes from a machine's authorities then holds for the agent too, and nobody has to
follow a second list. `AWS_CA_BUNDLE` and `REQUESTS_CA_BUNDLE` win over it, as everywhere.
"""

import os

PLACES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Red Hat, Fedora, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # SUSE
)


def where() -> str:
    """Return the file that holds the authorities; the first place where there is none, and errors then name it."""
    return next((path for path in PLACES if os.path.exists(path)), PLACES[0])


def contents() -> str:
    """Return the authorities themselves, as PEM. Raises OSError where the machine has none."""
    with open(where(), encoding="ascii", errors="replace") as file:
        return file.read()
