"""Reports of studies to be sent to others: one content, written as HTML and as Markdown, and a table of trials."""
