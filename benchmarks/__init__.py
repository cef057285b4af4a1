"""This project and its peers, side by side in one run: `python -m benchmarks`, or `make bench`."""
