"""`python -m aikit` is the shell's command `aikit`."""

import sys

from aikit.cli import main

sys.exit(main())
