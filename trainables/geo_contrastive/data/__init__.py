"""Daily weather fields: files, grids, calendars, preparation."""
