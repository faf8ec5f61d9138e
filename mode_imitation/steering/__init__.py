"""Driving a trained model: by mode, by context, by example, or along a schedule of modes."""
