"""Verbs of `%task` and `%%task`: a module or a function for each request."""
