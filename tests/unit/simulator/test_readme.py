"""The example in the simulator's README runs as it stands."""

import subprocess
import sys

from tests import pages
from tests.demo.stage import clean_environment


def test_the_example_reads_what_it_put() -> None:
    (example,) = pages.run_by(__file__, "tests/simulator/README.md")
    environ = clean_environment() | {"AWS_EC2_METADATA_DISABLED": "false"}
    subprocess.run([sys.executable, "-c", example.text], cwd=pages.ROOT, env=environ, check=True)
