"""Learning: R1's recipe, cheap enough for a laptop. `train.py` is the front door. Needs the extra `train`.

Each room imports only from those above it in this list:

    data/       what is learned from: chat format, worked examples, problems, everyday chat, files of one's own
    recipe/     what a recipe may say: settings of every stage and of the learner, parsed and checked without torch
    kernels/    C++ for what lies between matrix products, its meaning in torch, what the processor can do
    update/     gradients and one optimizer step: the learner, losses, batch layout, trainers, adapters
    rollout/    samples to learn from: decoders, drawing tokens, slots of the batch, answers for evaluations
    score/      rewards, advantages, weights of tokens
    stages/     SFT, GRPO, rejection sampling, distillation: a step of each
    run/        a run's folder, checkpoints, budget, signals, context
    report/     what is shown: view, console, report.html, conclusions
    publish/    the model in every form, its card, its receipt; replay
    loop/       the training loop: what is due before each step, pre-flight, evaluations, the end
"""
