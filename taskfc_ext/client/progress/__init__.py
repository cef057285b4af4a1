"""Progress of long waits: `long_wait` decides when a bar is drawn, `bar` where, and `formats` how."""
