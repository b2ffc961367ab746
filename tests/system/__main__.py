"""`make test-system`: install what is needed, build the packages, and run every case, each shown with its time."""

import sys

from tests import run
from tests.system import images


def main(arguments: list[str]) -> int:
    """Prepare, then run pytest; arguments go to it."""
    images.install_what_is_needed()
    images.with_cloud_init(images.deb())
    images.with_launchers()
    images.older()
    for suite in images.OTHER_SUITES:
        images.plain(suite)
    images.with_newest_python()
    shown = ["-v", "-p", "no:cacheprovider"]
    return run.main(["tests/system", *shown, *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
