"""The training loop: what is due before each step, the look ahead, the evaluations, the end, in order or not."""
