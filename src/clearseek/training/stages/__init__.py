"""The kinds of stage a recipe is made of, one step at a time: SFT, GRPO, rejection sampling, distillation."""
