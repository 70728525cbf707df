"""Exploration of a data set: tables, pictures, an HTML page, FiftyOne."""
