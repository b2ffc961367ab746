"""`python -m credagent`, where the command itself is not on the path."""

import sys

from credagent.cli.main import main

sys.exit(main())
