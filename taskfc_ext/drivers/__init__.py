"""Drivers: the only code that does I/O, with sockets, store, files and processes. They make no decisions."""
