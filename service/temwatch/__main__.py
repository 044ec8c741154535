"""`python -m temwatch` is the command line too."""

import sys

from temwatch.cli import main

sys.exit(main())
