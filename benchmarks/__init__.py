"""This project and its peers, side by side in one run: `python -m benchmarks`, or `make bench`."""

import time

START = time.perf_counter()
"""When this process began to import: a cold start begins here, so no import comes before."""
