"""`python -m skynet_lite` is the command skynet-lite."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
