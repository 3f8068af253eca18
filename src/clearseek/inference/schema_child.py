"""The process in which strangers' schemas are compiled, and answers held against them: it may be lost at any moment.

`python -m clearseek.inference.schema_child`, run by schema_service.py only. Each line on stdin is a job, each line on
stdout its result. A job that takes too much computing or memory ends the process; the one that waits is told. It ends
with its stdin.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY, SchemaRegistry, SchemaResource, specification_with

from clearseek.inference.grammar import Rewritten, parts_of, rewrite
from clearseek.inference.llguidance import Compiler, NoCompiler
from clearseek.inference.schema_keywords import FORMATS, Refused, dialect, place

CPU_SECONDS = 3.0
"""For one job. The engine compiles the same grammar between two tokens of everybody else, so this is generous."""
MAX_BYTES = 2 << 30
WIDE = 100
"""Properties or branches from which a part is tried by itself: the engine gives up where too many may come next."""
SEPARATORS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""One blank, as most JSON in what models have read. Free white space lets a small model write line breaks for ever."""


def main() -> None:
    """Does jobs until stdin ends."""
    _bound_memory()
    try:
        compiler: Compiler | str = Compiler()
    except NoCompiler as error:
        compiler = str(error)
    for line in sys.stdin:
        job = json.loads(line)
        with _bounded_time():
            try:
                if job["do"] == "grammar":
                    result = _grammar(job["asked"], compiler)
                else:
                    result = _valid(job["asked"]) if job["do"] == "valid" else _check(job)
            except RecursionError:
                result = {"refused": "The JSON Schema is nested too deeply.", "at": 0}
        print(json.dumps(result), flush=True)


def _bound_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows; or a limit below ours is set
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextlib.contextmanager
def _bounded_time() -> Any:
    """SIGPROF, which nobody catches, ends the process inside any native call, after so much computing of its own."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def _grammar(asked: list[dict[str, Any]], compiler: Compiler | str) -> dict[str, Any]:
    """The grammar of a schema, or of a call of one of several tools; or `refused`, and which of them (`at`)."""
    if isinstance(compiler, str):
        message = f"This build of the engine cannot be asked whether it holds to a JSON Schema ({compiler})."
        return {"refused": message, "at": 0}
    made = []
    for at, one in enumerate(asked):
        name = one["name"]
        subject = "The JSON Schema" if name is None else f"The schema of the `parameters` of the tool `{name}`"
        try:
            rewritten = rewrite(one["schema"] if name is None else _parameters(one["schema"]), f"s{at}d")
            _ask(rewritten, compiler)
        except Refused as refused:
            return {"refused": refused.sentence(subject), "at": at}
        made.append(rewritten.schema)
    if asked[0]["name"] is None:
        return {"grammar": text_of(made[0])}
    defs = {name: part for schema in made for name, part in schema.pop("$defs", {}).items()}
    calls = [_call(one["name"], schema) for one, schema in zip(asked, made, strict=True)]
    grammar = text_of({"anyOf": calls, "$defs": defs})
    reason = compiler.refusal(grammar)
    return {"grammar": grammar} if reason is None else {"refused": f"The tools together {_told(reason)}.", "at": 0}


OPEN = (
    *("additionalProperties", "patternProperties", "propertyNames", "unevaluatedProperties", "maxProperties"),
    *("$ref", "allOf", "anyOf", "oneOf"),
)
"""Words that may speak of properties that have no name in the schema itself."""


def _parameters(schema: Any) -> Any:
    """A tool's parameters: an object, with no more properties than it names unless it says so."""
    if schema in (None, {}):
        return {"type": "object", "properties": {}, "additionalProperties": False}
    if isinstance(schema, dict) and schema.get("type", "object") != "object":
        raise Refused((), "describes no object, which the arguments of a tool are")
    if not isinstance(schema, dict):
        return schema
    named, required = schema.get("properties", {}), schema.get("required", ())
    whole = isinstance(named, dict) and isinstance(required, list) and all(name in named for name in required)
    if (whole or not required) and not any(word in schema for word in OPEN):
        return {"type": "object", **schema, "additionalProperties": False}
    return schema


def _call(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def text_of(schema: dict[str, Any]) -> str:
    """The grammar of a rewritten schema, as the engine takes it."""
    return "%llguidance {}\nstart: %json " + json.dumps({**schema, "x-guidance": SEPARATORS})


def _ask(rewritten: Rewritten, compiler: Compiler) -> None:
    """Asks the engine. Raises Refused, with the smallest part that it refuses by itself."""
    if not isinstance(rewritten.schema, dict):
        raise Refused((), "allows nothing (`false`, or `not` of everything)")
    defs = rewritten.schema.get("$defs", {})
    reason = compiler.refusal(text_of(rewritten.schema))
    if reason is not None:
        part, path = rewritten.schema, ()
        while True:
            for inner in parts_of(part):
                refusal = compiler.refusal(text_of({**inner, "$defs": defs}))
                if refusal is not None:
                    part, path, reason = inner, rewritten.places.get(id(inner), path), refusal
                    break
            else:
                raise Refused(path, _told(reason))
    waiting = [rewritten.schema]
    while waiting:
        part = waiting.pop()
        inner_parts = parts_of(part)
        waiting += inner_parts
        if len(inner_parts) > WIDE:
            reason = compiler.refusal(text_of({**part, "$defs": defs}), "{")
            if reason is not None:
                raise Refused(rewritten.places.get(id(part), ()), _told(reason))


def _told(reason: str) -> str:
    """llguidance's reason as the end of a sentence that begins with the schema."""
    message = (
        reason.rsplit("failed to compile JSON schema: ", 1)[-1].strip().replace("\u27e6", "").replace("\u27e7", "")
    )
    if message.startswith("Unsatisfiable schema: "):
        return f"allows nothing ({message.removeprefix('Unsatisfiable schema: ')[:200]})"
    if "oneOf" in message:
        return (
            "has a `oneOf` of which the engine cannot tell that only one branch matches; use `anyOf`, or give each "
            "branch a required property with a `const` of its own"
        )
    if "items; max is" in message:
        return "has too many optional properties or branches in one place for the engine; make some required"
    return f"cannot be held to by the engine's grammar: {message[:300]}"


def _valid(asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether texts can be held against these schemas: empty, or `refused`, and which of them (`at`)."""
    for at, one in enumerate(asked):
        name, schema = one["name"], one["schema"]
        if schema is None and name is not None:
            continue
        subject = "The JSON Schema" if name is None else f"The schema of the `parameters` of the tool `{name}`"
        try:
            kind: Any = validator_for(schema, default=Draft202012Validator)
            kind.check_schema(schema, format_checker=FormatChecker(["regex"]))
            _refer(schema)
        except SchemaError as error:
            message = f"{subject} is not valid: {error.message[:300]} (at {place(tuple(error.absolute_path))})."
            return {"refused": message, "at": at}
        except Unresolvable as error:
            message = f"{subject} refers to `{str(error.ref)[:200]}`, which is not in it; nothing is fetched."
            return {"refused": message, "at": at}
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            return {"refused": f"{subject} is not valid: {str(error)[:300]}.", "at": at}
    return {}


def _refer(schema: Any) -> None:
    """Raises Unresolvable where a reference leads nowhere."""
    specification = specification_with(str(schema.get("$schema", "")), default=DRAFT202012)
    root: SchemaResource = specification.create_resource(schema)
    registry: SchemaRegistry = EMPTY_REGISTRY.with_resource("", root).crawl()
    waiting = [(root, registry.resolver_with_root(root))]
    while waiting:
        part, resolver = waiting.pop()
        if isinstance(part.contents, dict):
            for word in ("$ref", "$dynamicRef"):
                if isinstance(part.contents.get(word), str):
                    resolver.lookup(part.contents[word])
        waiting += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]


def _check(job: dict[str, Any]) -> dict[str, Any]:
    """Whether a finished text is JSON that matches a schema: `wrong` is None, or says where it does not."""
    try:
        value = json.loads(job["text"], parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        return {"wrong": f"it is not JSON ({error})"}
    schema = job["schema"]
    kind = validator_for({"$schema": dialect(schema)}, default=Draft202012Validator)
    formats = FormatChecker(())
    # those of the draft: what the class itself knows are those of the oldest, in which a time has no offset
    formats.checkers = {
        name: one for name, one in Draft202012Validator.FORMAT_CHECKER.checkers.items() if name in FORMATS
    }
    try:
        # Without a registry of its own it would fetch what a stranger's schema refers to.
        match = next(kind(schema, format_checker=formats, registry=EMPTY_REGISTRY).iter_errors(value), None)
    except RecursionError:
        return {"wrong": "it cannot be checked, because the schema refers to itself without end"}
    if match is None:
        return {"wrong": None}
    return {"wrong": f"{match.message[:300]} (at {place(tuple(match.absolute_path))})"}


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


if __name__ == "__main__":
    main()
