"""`python -m taskfc_ext.cli`: the same as `taskfc`."""

import sys

from taskfc_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())
