"""Everything that is shown in the terminal: the live view, tables, descriptions."""
