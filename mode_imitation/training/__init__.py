"""Discovery, refinement, checkpoints and run folders. Importing this package loads no torch."""
