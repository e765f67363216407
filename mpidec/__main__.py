"""python -m mpidec."""

import sys

from mpidec.cli import main

if __name__ == "__main__":
    sys.exit(main())
