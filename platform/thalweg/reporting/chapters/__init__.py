"""The chapters of a report, one function each: from what was gathered of a study to blocks."""
