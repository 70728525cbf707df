"""From files to windows: layout, checks, the prepared store, the windows of a split."""
