"""One client with two faces: `FCTaskClient` awaits, `BlockingTaskClient` blocks. Never runs a task itself."""
