"""A run on disk and in time: its folder, checkpoints, budget, signals, and the context that stages work in."""
