"""Who runs what. Pure: no sockets, no files, no clock, no logging, no randomness; time comes as an argument."""
