"""`python -m tinyres`: the command line."""

import sys

from tinyres.cli import main

if __name__ == "__main__":
    sys.exit(main())
