"""A Jinja environment for programs that nobody has read: no attributes of Python, bounded loops, bounded text.

Jinja's sandbox keeps a template from reaching Python, but not from running for an hour or asking for a terabyte.
So every loop body counts a step, every expression that is written counts its characters, and the operations that
make text out of little (`*`, `~`, `+`, `replace`, `join`, `indent`) are bounded before they run.
"""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from clearseek.hub.errors import BadTemplate, TemplateTooLong

MAX_TEXT = 64 << 20
"""Characters a rendering may write or build at once."""
MAX_STEPS = 5_000_000
MAX_SECONDS = 2.0
"""Of processor time, so that a busy machine does not stop an honest template."""

_REMOVED_FILTERS = ("center", "wordwrap", "urlize", "xmlattr", "pprint", "random", "filesizeformat", "format")
_DENIED_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map", "translate"})


class _OverBudget(SecurityError):
    pass


class _Budget(threading.local):
    """What the rendering in this thread may still use."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.steps, self.text, self.deadline = MAX_STEPS, MAX_TEXT, time.thread_time() + MAX_SECONDS

    def step(self) -> str:
        self.steps -= 1
        if self.steps < 0 or (not self.steps & 1023 and time.thread_time() > self.deadline):
            raise _OverBudget("it runs for too long")
        return ""

    def write(self, length: int) -> None:
        self.text -= length
        if self.text < 0 or length > MAX_TEXT:
            raise _OverBudget("it writes too much text")


def _size(value: object) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict) else 32


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "+", "**", "%"})

    def __init__(self) -> None:
        self.budget = _Budget()
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, _Generation],
            finalize=self._finalize,
            cache_size=0,
        )
        for name in _REMOVED_FILTERS:
            self.filters.pop(name, None)
        for name in ("lipsum", "cycler", "joiner"):
            self.globals.pop(name, None)
        self.filters["tojson"] = _to_json
        self.filters["replace"] = self._replace
        self.filters["join"] = self._join
        self.filters["indent"] = self._indent
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(str(form)[:200])

    def _finalize(self, value: Any) -> Any:
        self.budget.write(_size(value))
        return value

    def tick(self) -> str:
        """One step of a loop; called from the compiled template."""
        return self.budget.step()

    def concat_bounded(self, *parts: Any) -> str:
        """The `~` operator."""
        texts = [str(part) for part in parts]
        self.budget.write(sum(map(len, texts)))
        return "".join(texts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, str | list | tuple) and isinstance(other, int):
                    self.budget.write(len(one) * max(0, other))
        elif operator == "+" and isinstance(left, str | list | tuple):
            self.budget.write(_size(left) + _size(right))
        elif operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"it uses `{operator}`, which is not allowed here")
        if isinstance(left, int) and isinstance(right, int) and max(abs(left), abs(right)) > 1 << 63:
            raise SecurityError("it computes with huge numbers")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in _DENIED_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str):
            name = getattr(obj, "__name__", "")
            if name == "replace" and len(args) >= 2:
                self._count_replace(owner, str(args[0]), str(args[1]))
            elif name == "join" and args:
                return self._join(args[0], owner)
        self.budget.step()
        return super().call(context, obj, *args, **kwargs)

    def _count_replace(self, text: str, old: str, new: str) -> None:
        hits = text.count(old) if old else len(text) + 1
        self.budget.write(len(text) + hits * len(new))

    def _replace(self, value: Any, old: str, new: str, count: int | None = None) -> str:
        text = str(value)
        self._count_replace(text, str(old), str(new))
        return text.replace(str(old), str(new), -1 if count is None else count)

    def _join(self, value: Iterable[Any], d: str = "", attribute: str | None = None) -> str:
        parts = [str(item if attribute is None else self.getitem(item, attribute)) for item in value]
        self.budget.write(sum(map(len, parts)) + len(d) * len(parts))
        return str(d).join(parts)

    def _indent(self, value: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        text, space = str(value), width if isinstance(width, str) else " " * min(int(width), 1000)
        self.budget.write(len(text) + len(space) * (text.count("\n") + 1))
        lines = text.split("\n")
        return "\n".join(
            space + line if (line or blank) and (first or number) else line for number, line in enumerate(lines)
        )


class _Generation(Extension):
    """`{% generation %}` marks what the model itself wrote (for training); here its body is just rendered."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class CompiledTemplate:
    """A template ready to run; may be used from several threads."""

    def __init__(self, environment: _Environment, template: Template) -> None:
        self._environment, self._template = environment, template

    def render(self, variables: Mapping[str, Any]) -> str:
        """Raises BadTemplate, with the template's own words where it refused."""
        self._environment.budget.start()
        try:
            parts = []
            for part in self._template.generate(variables):
                self._environment.budget.write(len(part))
                parts.append(part)
            return "".join(parts)
        except _OverBudget as error:
            raise TemplateTooLong(f"The model's chat template was stopped: {error}.") from None
        except SecurityError as error:
            raise BadTemplate(f"The model's chat template was stopped: {error}.") from None
        except TemplateError as error:
            raise BadTemplate(f"The model's chat template refuses this conversation: {error}.") from None
        except (RecursionError, MemoryError):
            raise BadTemplate("The model's chat template was stopped: it needs too much memory.") from None
        except Exception as error:  # a template can provoke any Python error; none of them is ours to show raw
            kind = type(error).__name__
            raise BadTemplate(f"The model's chat template fails on this conversation ({kind}: {error}).") from None


def compile_template(source: str) -> CompiledTemplate:
    """Raises BadTemplate where the source is not Jinja."""
    environment = _Environment()
    try:
        tree = environment.parse(source)
        _bound(tree)
        return CompiledTemplate(environment, environment.from_string(tree))
    except TemplateError as error:
        raise BadTemplate(f"The model's chat template cannot be read: {error}.") from None
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError):
        raise BadTemplate("The model's chat template cannot be read: it is too large or too deeply nested.") from None


def _bound(tree: nodes.Template) -> None:
    """Count a step in every loop and macro body, and bound `~`."""
    loops: list[nodes.For | nodes.Macro] = [*tree.find_all(nodes.For), *tree.find_all(nodes.Macro)]
    for loop in loops:
        tick = nodes.Call(nodes.EnvironmentAttribute("tick"), [], [], None, None)
        loop.body.insert(0, nodes.ExprStmt(tick, lineno=loop.lineno))
        if isinstance(loop, nodes.For) and loop.test is not None:
            loop.test = nodes.Or(tick, loop.test)  # a tick is "", so the test still decides
    for parent in [tree, *tree.find_all(nodes.Node)]:
        for field, value in parent.iter_fields():
            if isinstance(value, nodes.Concat):
                setattr(parent, field, _bounded_concat(value))
            elif isinstance(value, list):
                value[:] = [_bounded_concat(item) if isinstance(item, nodes.Concat) else item for item in value]


def _bounded_concat(concat: nodes.Concat) -> nodes.Call:
    return nodes.Call(
        nodes.EnvironmentAttribute("concat_bounded"), list(concat.nodes), [], None, None, lineno=concat.lineno
    )


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As chat templates expect it: no HTML escapes, text as it is."""
    width = min(int(indent), 16) if indent is not None else None
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=width, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(str(message)[:500])
