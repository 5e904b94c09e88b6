"""How each kind of record is stored: its table, its layout, its migrations and schema files."""
