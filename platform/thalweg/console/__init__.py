"""Everything that is drawn in the terminal: the live view, tables, descriptions."""
