"""The mode benchmark: every method on the same data and layouts, over seeds, with intervals."""
