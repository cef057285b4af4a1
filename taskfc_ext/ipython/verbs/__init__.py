"""Verbs of `%task` and `%%task`: a module or a function carries out each request."""
