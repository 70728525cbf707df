"""The verdicts of ``thalweg check SPACE``, one module for each; `check_space` gives them one after another."""
