"""Confirmation: a few configurations of a study are trained again with fresh seeds."""
