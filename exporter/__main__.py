"""`python -m exporter` is the program, too."""

import sys

from exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
