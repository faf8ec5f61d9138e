"""Encoder, codebook, decoder and actor, and the mode model that holds them. Importing this package loads no torch."""
