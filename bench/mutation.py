"""Changes the code a little, at random places, and says which changes no test noticed.

A test that cannot fail holds nothing. This draws a sample of the small changes that cosmic-ray knows (a comparison
turned round, a number one off, a loop that never runs) from some modules, makes each in a worktree of its own, and runs
the fast tests of that module. A change that survives is one of three things: the same program, something nobody counts
on, or a hole in the tests; which, is for people to say (docs/lab/mutation.md has what was found).

    python bench/mutation.py src/clearseek/tasks --sample 60 --into tasks.sqlite
    python bench/mutation.py src/clearseek/training/losses.py src/clearseek/training/learner.py --sample 20

It changes what is committed, not what you are working on. Hours, on two cores: run it under `nice`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
TYPES_ONLY = ("RemoveDecorator", "BitOr", "Sub_Pow")
"""Operators that mostly change annotations (`int | None`) or what frozen dataclasses are, and so prove nothing."""
INDIRECTLY = {
    "schedule": ["test_sft.py", "test_grpo.py"],
    "rewards": ["test_grpo.py"],
    "packing": ["test_learner.py"],
    "losses": ["test_grpo.py", "test_sft.py"],
    "sampling": ["test_rollout.py"],
    "budget": ["test_budget_held.py"],
    "confinement": ["test_exploits.py"],
    "children": ["test_exploits.py", "test_own_tasks.py"],
    "jsonl": ["test_own_tasks.py", "test_exploits.py"],
    "load": ["test_own_tasks.py", "test_generators.py"],
    "own": ["test_own_tasks.py"],
    "own_child": ["test_own_tasks.py"],
    "worker": ["test_own_tasks.py", "test_exploits.py", "test_generators.py"],
    "verifiers": ["test_exploits.py", "test_mathematics.py"],
    "solutions": ["test_solutions.py"],
}
"""Tests of a module, or of a folder of them, that do not import it by name."""


def tests_of(module: Path) -> list[str]:
    """The test files that import a module, and those that need it indirectly; its whole room's where there is none."""
    room = module.parts[2]
    imported = re.compile(rf"^(from|import) .*\b{module.stem}\b", re.MULTILINE)
    found = {str(path) for path in Path("tests", room).glob("test_*.py") if imported.search(path.read_text("utf-8"))}
    named = INDIRECTLY.get(module.stem) or INDIRECTLY.get(module.parent.name, [])
    found |= {str(Path("tests", room, name)) for name in named}
    return sorted(found, key=lambda name: (module.stem not in name, name)) or [str(Path("tests", room))]


def run_tests() -> None:
    """What cosmic-ray runs for each change: the tests of the one module that differs."""
    said = subprocess.run(["git", "diff", "--name-only"], capture_output=True, text=True, check=True).stdout
    tests = list(dict.fromkeys(test for line in said.split() for test in tests_of(Path(line))))
    fast = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow and not browser"]
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *fast, *tests])


def keep_a_sample(session: Path, count: int, seed: int) -> int:
    """Delete all changes of a session but `count`, as many of each kind of operator as there are."""
    with sqlite3.connect(session) as db:
        order = "module_path, operator_name, operator_args, occurrence"
        every = db.execute(f"select job_id, operator_name from mutation_specs order by {order}").fetchall()
        kinds: dict[str, list[str]] = {}
        for job, operator in every:
            if not any(word in operator for word in TYPES_ONLY):
                kinds.setdefault(operator.split("/")[-1].split("_")[0], []).append(job)
        rng = random.Random(seed)
        chosen: list[str] = []
        while len(chosen) < count and any(kinds.values()):
            for kind in sorted(kinds):
                if kinds[kind]:
                    chosen.append(kinds[kind].pop(rng.randrange(len(kinds[kind]))))
        rng.shuffle(chosen)  # the last round has more than are wanted: not always the first kinds by name
        kept = set(chosen[:count])
        drop = [(job,) for job, _ in every if job not in kept]
        db.executemany("delete from mutation_specs where job_id = ?", drop)
        db.executemany("delete from work_items where job_id = ?", drop)
    return len(kept)


def report(session: Path) -> None:
    """How many were noticed, and what the others changed."""
    with sqlite3.connect(session) as db:
        counted = dict(db.execute("select test_outcome, count(*) from work_results group by 1").fetchall())
        print(", ".join(f"{outcome.lower()} {count}" for outcome, count in sorted(counted.items())))
        for (diff,) in db.execute("select diff from work_results where test_outcome = 'SURVIVED'"):
            print("\n".join(diff.splitlines()[1:]) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", help="files or folders under src/clearseek")
    parser.add_argument("--sample", type=int, default=60, help="how many changes")
    parser.add_argument("--seed", type=int, default=20, help="which ones")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds that the tests of one change may take")
    parser.add_argument("--into", default="mutation.sqlite", help="where the results go; told again with --report")
    parser.add_argument("--report", action="store_true", help="only tell what is in there")
    parser.add_argument("--run-tests", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    session = Path(asked.into).resolve()
    if asked.run_tests:
        return run_tests()
    if asked.report:
        return report(session)
    if not asked.modules or session.exists():
        sys.exit("Name the modules to change." if not asked.modules else f"{session} is there already: another --into?")
    with tempfile.TemporaryDirectory() as folder:
        tree, config = Path(folder, "tree"), Path(folder, "mutation.toml")
        tests = f"{sys.executable} {Path(__file__).resolve()} --run-tests"
        config.write_text(
            f"[cosmic-ray]\nmodule-path = {json.dumps(asked.modules)}\ntimeout = {asked.timeout}\n"
            f"excluded-modules = []\ntest-command = {json.dumps(tests)}\n[cosmic-ray.distributor]\nname = 'local'\n"
        )
        subprocess.run(["git", "worktree", "add", "--detach", tree, "HEAD"], cwd=HERE, check=True, capture_output=True)
        try:
            ray = [sys.executable, "-m", "cosmic_ray.cli"]
            source = {"CLEARSEEK_TEST_CACHE": str(HERE / ".cache"), **os.environ, "PYTHONPATH": str(tree / "src")}
            subprocess.run([*ray, "init", config, session], cwd=tree, env=source, check=True)
            print(f"{keep_a_sample(session, asked.sample, asked.seed)} changes", flush=True)
            subprocess.run([*ray, "exec", config, session], cwd=tree, env=source, check=True)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=HERE, check=True)
    report(session)


if __name__ == "__main__":
    main()
