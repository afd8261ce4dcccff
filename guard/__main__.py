"""``python -m guard``: the command line."""

from __future__ import annotations

import sys

from guard.cli import main

sys.exit(main())
