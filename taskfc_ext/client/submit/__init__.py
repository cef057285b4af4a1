"""Submissions: a function or a cell and its options become a template and a body."""
