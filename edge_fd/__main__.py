"""``python -m edge_fd``: the same as the command ``edge-fd``."""

import sys

from edge_fd.cli import main

sys.exit(main())
