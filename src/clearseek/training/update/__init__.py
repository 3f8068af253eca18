"""Gradients and one optimizer step: the learner, losses, batch layout, the two trainers, adapters."""
