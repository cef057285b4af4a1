"""Session of a client with a controller: its connection, its unanswered requests, and its I/O thread."""
