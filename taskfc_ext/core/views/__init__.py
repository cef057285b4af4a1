"""Views of the state: lists, and the messages to subscribers of the queue."""
