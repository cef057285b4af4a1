"""Messages between client, controller, worker and supervisor. Pure: no sockets, no files, no clock."""
