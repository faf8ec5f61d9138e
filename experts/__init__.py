"""Scripted experts: each drives from the observation alone, a batch of worlds at once; numpy is all they need.

`protocol` says what an expert is (a user's own is ten lines), `registry` finds one by name.
"""
