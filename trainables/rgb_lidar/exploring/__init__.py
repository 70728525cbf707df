"""A look at a data set: tables, pictures, a page, FiftyOne."""
