"""One module a migration, named by its number; its docstring says what it does."""
