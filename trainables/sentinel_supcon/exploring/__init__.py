"""Exploration of a data set: tables, pictures, a page, FiftyOne."""
