"""Which authorities' certificates the helper believes where no SDK chooses them: as botocore and requests do."""

import os

VARIABLES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


def bundle_path() -> str:
    """Return the path of a file of certificates: the one that the environment names, else certifi's."""
    named = next(filter(None, map(os.environ.get, VARIABLES)), "")
    if named:
        return named
    import certifi

    return certifi.where()
