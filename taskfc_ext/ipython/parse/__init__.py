"""Language of the magics: lines become requests. Needs no IPython."""
