"""The migrations of the tables, oldest first in `versions`; `python -m dataplatform.system migrate` runs them.

A migration is frozen once released: it says what a table was, never what the types say today.
"""
