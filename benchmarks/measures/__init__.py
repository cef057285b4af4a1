"""Measures: a module for each family, and a function for each measure, named as the command line names it."""
