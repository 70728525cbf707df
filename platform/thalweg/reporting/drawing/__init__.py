"""Pictures of a report that no command of the terminal draws."""
