"""What a user would try instead, on the same model, data and budget: each ends in a run folder that can be steered."""
