"""Views of the state: lists, and what subscribers of the queue receive."""
