"""Samples to learn from: decoders, the drawing of tokens, slots of a batch that is filled all the time."""
