"""Metrics, intervals, closed-loop runs on held-out layouts, and the report card of a run."""
