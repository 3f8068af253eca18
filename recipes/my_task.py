"""A task in ten lines: what is asked, what is right, and (if you can write it down) how one gets there."""


def make(rng, index):
    digits = [rng.randrange(10) for _ in range(rng.randint(3, 7))]
    prompt = f"What is the sum of the digits of {''.join(map(str, digits))}?"
    return {"prompt": prompt, "answer": str(sum(digits)), "digits": digits}


def score(problem, answer):
    return float(answer.strip() == problem["answer"])


def solve(problem, rng):
    total, lines = 0, []
    for digit in problem["digits"]:
        lines.append(f"{total} + {digit} = {total + digit}")
        total += digit
    return "\n".join(lines), str(total)
