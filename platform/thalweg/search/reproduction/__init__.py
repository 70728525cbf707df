"""Reproduction: a trial is trained again from its record alone, and compared with it."""
