"""`python -m mode_imitation` is the console script."""

import sys

from mode_imitation.cli import main

sys.exit(main())
