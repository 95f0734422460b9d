"""`python -m imagebuilder`: the same program as the installed script."""

import sys

from imagebuilder.cli.main import main

sys.exit(main())
