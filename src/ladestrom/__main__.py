"""`python -m ladestrom`: the command line."""

from __future__ import annotations

import sys

from ladestrom.cli import main

sys.exit(main())
