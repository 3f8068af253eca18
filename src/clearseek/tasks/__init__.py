"""Problems whose answers a program can check: generators, your own files, verifiers, worked solutions, cards."""

from clearseek.tasks.load import load_task
from clearseek.tasks.task import Problem, Score, Solution, Task
from clearseek.tasks.task_spec import TaskSpec

__all__ = ["Problem", "Score", "Solution", "Task", "TaskSpec", "load_task"]
