"""All rows of the matrix."""

from tests.matrix.aws_libraries import AWS_LIBRARIES
from tests.matrix.google_libraries import GOOGLE_ROWS
from tests.matrix.programs import PROGRAMS
from tests.matrix.rows import Rows

__all__ = ["AWS_ROWS", "GOOGLE_ROWS", "ROWS"]

AWS_ROWS: Rows = AWS_LIBRARIES | PROGRAMS
ROWS: Rows = AWS_ROWS | GOOGLE_ROWS
