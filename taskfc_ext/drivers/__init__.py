"""The only code that does I/O: sockets, store, files, processes. Decides nothing."""
