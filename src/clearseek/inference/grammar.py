"""A JSON Schema as the engine's grammar can hold to it, or in words why it cannot.

The engine's grammars are llguidance's. It leaves some of JSON Schema out, reads some of it more loosely than programs
that check answers, and is asked itself in the end (llguidance.py). Here a schema is rewritten in the few words that it
holds to exactly: whatever matches what is written here matches the schema as it was sent. Where both readings of a
word are in use, the narrower one is taken; what cannot be held to is refused, with its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, SchemaRegistry, SchemaResource, specification_with

from clearseek.inference.json_values import types_of
from clearseek.inference.schema_branches import kinds_of, settle
from clearseek.inference.schema_keywords import (
    ANNOTATIONS,
    ARRAY,
    ASSERTIONS,
    FORMATS,
    NUMBER,
    OBJECT,
    REFUSED,
    STRING,
    Refused,
    Words,
    array_words,
    dialect,
    number_words,
    pattern_of,
    string_words,
)

MAX_PARTS = 2_000
MAX_VALUES = 20_000
MAX_CHARS = 500_000
OBJECT_MODE = {"type": "object"}

Path = tuple[Any, ...]
Resolver = Any


@dataclass
class Rewritten:
    """`schema` stands alone (its definitions are in `$defs`); `places` says where its parts stood, by their `id`."""

    schema: dict[str, Any]
    places: dict[int, Path]


def check_size(schema: Any) -> None:
    """Raises Refused for a schema that is too big to be looked at. Takes time for no more than it allows."""
    waiting, values, chars = [schema], 0, 0
    while waiting:
        value = waiting.pop()
        values += 1
        if isinstance(value, dict):
            waiting.extend(value.values())
            chars += sum(map(len, value)) if len(value) <= MAX_VALUES else MAX_CHARS
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            chars += len(value)
        if values + len(waiting) > MAX_VALUES:
            raise Refused((), f"has more than {MAX_VALUES:,} values; make it smaller")
        if chars > MAX_CHARS:
            raise Refused((), f"has more than {MAX_CHARS:,} characters; make it smaller")


def rewrite(schema: Any, prefix: str = "d") -> Rewritten:
    """Raises Refused, with the place, for what is no schema and for what cannot be held to.

    The names of definitions begin with `prefix`, so that several schemas can share one place for them.
    """
    if not isinstance(schema, dict):
        raise Refused((), "is no object" if not isinstance(schema, bool) else f"is just `{str(schema).lower()}`")
    draft = dialect(schema)
    specification = specification_with(draft, default=DRAFT202012)
    root: SchemaResource = specification.create_resource(schema)
    registry: SchemaRegistry = Registry().with_resource("", root)
    fault: Exception | None = None
    try:
        registry = registry.crawl()
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        fault = error  # what is wrong is said better below, with its place
    work = _Work(prefix, draft)
    out = work.schema(schema, registry.resolver_with_root(root), ())
    while work.waiting:
        name, contents, resolver, path, work.exact = work.waiting.pop()
        work.defs[name] = work.schema(contents, resolver, path)
    for part, told_apart_by in work.choices:
        settle(part, told_apart_by, work.defs)
    if fault is not None:
        raise Refused((), f"is not valid: {fault}")
    for part in _all_parts(out, work.defs):
        joined = part.get("allOf", ())
        if len(joined) > 1 and any(_patterned(one, work.defs, set()) for one in joined):
            message = (
                "joins `patternProperties` with another schema of the same object, which the engine does not do right"
            )
            raise Refused(work.places.get(id(part), ()), message)
    known = _ending(work.defs)
    if not _ends(out, known):
        raise Refused((), "allows nothing that ever ends: it requires itself")
    if work.defs:
        out = {**out, "$defs": {name: made if name in known else False for name, made in work.defs.items()}}
    work.places[id(out)] = ()
    return Rewritten(out, work.places)


@dataclass
class _Work:
    prefix: str
    draft: str
    defs: dict[str, Any] = field(default_factory=dict)
    places: dict[int, Path] = field(default_factory=dict)
    waiting: list[tuple[str, Any, Resolver, Path, bool]] = field(default_factory=list)
    choices: list[tuple[dict[str, Any], str | None]] = field(default_factory=list)
    """Each `oneOf`, and the property that its `discriminator` names."""
    exact: bool = False
    """Inside `oneOf` nothing may be taken more narrowly than it says: two branches that match would look like one."""
    _names: dict[tuple[int, bool], str] = field(default_factory=dict)
    _count: int = 0

    def schema(self, schema: Any, resolver: Resolver, path: Path, *, alone: bool = True) -> Any:
        """`alone`: no other schema speaks of the same value."""
        self._count += 1
        if self._count > MAX_PARTS:
            raise Refused((), f"has more than {MAX_PARTS:,} parts; make it smaller")
        if isinstance(schema, bool):
            return {} if schema else False
        if not isinstance(schema, dict):
            raise Refused(path, "is not valid: a schema is an object, `true` or `false`")
        if "$id" in schema and path and isinstance(schema["$id"], str):
            resolver = resolver.in_subresource(DRAFT202012.create_resource(schema))
        if "not" in schema and schema["not"] in ({}, True):
            return False  # as zod and pydantic write what is never there
        self._look_over(schema, path)
        words = Words(schema, path, self.draft)
        own = self._own(words, resolver, alone)
        both = own.pop("allOf", [])
        parts = [*([own] if own else []), *both]
        parts += self._combined(words, resolver)
        # Each part by itself: the engine would read words beside `allOf` in the order in which they are written.
        out: Any = parts[0] if len(parts) == 1 else {"allOf": parts} if parts else {}
        self.places[id(out)] = path
        return out

    def _look_over(self, schema: dict[str, Any], path: Path) -> None:
        for word, value in schema.items():
            if word in ASSERTIONS or word in ANNOTATIONS or word.startswith("x-"):
                continue
            if word in REFUSED:
                harmless, advice = REFUSED[word]
                if not any(value is one or value == one for one in harmless):
                    raise Refused(path, f"uses `{word}`, which the engine's grammar cannot express; {advice}")
            else:
                near = get_close_matches(word.lower(), [known.lower() for known in ASSERTIONS], 1, 0.82)
                if near:
                    meant = next(known for known in ASSERTIONS if known.lower() == near[0])
                    raise Refused(path, f"has the word `{word}`, which JSON Schema does not know: is it `{meant}`?")

    def _own(self, words: Words, resolver: Resolver, alone: bool) -> dict[str, Any]:
        """What the schema says of the value itself, without `anyOf` and the like."""
        out: dict[str, Any] = {}
        types = words.types()
        if (
            types is None
            and alone
            and not self.exact
            and not any(word in words.schema for word in ("$ref", "enum", "const", *_COMBINED))
        ):
            # Who writes `properties` wants an object, though by the letter a number matches too.
            kinds = {kind: group for kind, group in _GROUPS.items() if any(word in words.schema for word in group)}
            types = list(kinds) if len(kinds) == 1 else None
        if types is not None:
            out["type"] = types[0] if len(types) == 1 else types
        values = words.values()
        if values is not None:
            fitting = [value for value in values if types is None or any(kind in types for kind in types_of(value))]
            if not fitting:
                raise Refused(words.path, "allows nothing: no value of its `enum` or `const` has its `type`")
            out["enum"] = fitting
        for group, read in ((STRING, string_words), (NUMBER, number_words)):
            if any(word in words.schema for word in group):
                out |= read(words, types)
        if any(word in words.schema for word in ARRAY):
            out |= self._array(words, resolver)
        if any(word in words.schema for word in OBJECT):
            out |= self._object(words, resolver)
        return out

    def _array(self, words: Words, resolver: Resolver) -> dict[str, Any]:
        out = array_words(words)
        listed, rest = "prefixItems", "items"
        if isinstance(words.schema.get("items"), list):
            if "2020" in self.draft:
                raise words.refuse("is not valid: a list of schemas is called `prefixItems`, not `items`")
            listed, rest = "items", "additionalItems"
        if listed in words.schema:
            items = words.list_of_schemas(listed)
            out["prefixItems"] = [
                self.schema(item, resolver, (*words.path, listed, at)) for at, item in enumerate(items)
            ]
        if rest in words.schema:
            out["items"] = self.schema(words.schema[rest], resolver, (*words.path, rest))
        return out

    def _object(self, words: Words, resolver: Resolver) -> dict[str, Any]:
        out: dict[str, Any] = {}
        named = words.schemas_by_name("properties")
        patterned = words.schemas_by_name("patternProperties")
        rules = {name: pattern_of(name, (*words.path, "patternProperties")) for name in patterned}
        if named:
            out["properties"] = {}
            for name, value in named.items():
                made = self.schema(value, resolver, (*words.path, "properties", name))
                ruled = [one for one, found in rules.items() if found.search(name)]
                if ruled:
                    also = [
                        self.schema(patterned[one], resolver, (*words.path, "patternProperties", one)) for one in ruled
                    ]
                    made = False if False in (made, *also) else {"allOf": [made, *also]}
                out["properties"][name] = made
        if patterned:
            out["patternProperties"] = {
                rules[name].engine: self.schema(value, resolver, (*words.path, "patternProperties", name))
                for name, value in patterned.items()
            }
        rest = self._rest(words)
        if rest is not None:
            out["additionalProperties"] = self.schema(words.schema[rest], resolver, (*words.path, rest))
        if "propertyNames" in words.schema:
            self._named_as(words, resolver, out)
        required = words.names("required")
        if required:
            out["required"] = required
        least, most = words.count("minProperties"), words.count("maxProperties")
        if least is not None and least > max(1, len(required)):
            raise words.refuse("uses `minProperties` beyond what is `required`; the engine cannot tell one name twice")
        if least is not None and least > len(required):
            out["minProperties"] = least
        if most is not None:
            out["maxProperties"] = most
        return out

    def _rest(self, words: Words) -> str | None:
        """The word that says what other properties are."""
        if "additionalProperties" in words.schema:
            return "additionalProperties"  # which leaves nothing unevaluated
        if words.schema.get("unevaluatedProperties", True) is True:
            return None
        if any(word in words.schema for word in ("$ref", *_COMBINED)):
            raise words.refuse(
                "uses `unevaluatedProperties` beside other schemas, which the engine's grammar cannot express; "
                "write `additionalProperties` where the properties are"
            )
        return "unevaluatedProperties"

    def _named_as(self, words: Words, resolver: Resolver, out: dict[str, Any]) -> None:
        """Names by `propertyNames`: those of a list become properties, the others follow an expression."""
        rule: Any = words.schema["propertyNames"]
        for _ in range(10):
            if isinstance(rule, dict) and isinstance(rule.get("$ref"), str):
                self._target(rule["$ref"], resolver, words)
                lookup = resolver.lookup(rule["$ref"])
                rule, resolver = {**lookup.contents, **{k: v for k, v in rule.items() if k != "$ref"}}, lookup.resolver
        keywords = set(rule) - ANNOTATIONS if isinstance(rule, dict) else {"?"} if rule is not True else set()
        path = (*words.path, "propertyNames")
        unclear = Refused(path, "says more of names than the engine's grammar can express; use `enum` or `pattern`")
        if "type" in keywords and rule["type"] != "string":
            raise unclear
        keywords.discard("type")
        if not keywords:
            return
        named, rest = out.get("properties", {}), out.get("additionalProperties", {})
        if "patternProperties" in out:
            raise unclear
        if keywords <= {"enum", "const"}:
            names = [name for name in Words(rule, path, self.draft).values() or [] if isinstance(name, str)]
            free = {} if rest is False else dict.fromkeys(names, rest)
            out["properties"] = {**free, **{name: made if name in names else False for name, made in named.items()}}
        elif any(keywords <= known for known in ({"pattern"}, {"format"}, {"minLength", "maxLength"})) and not named:
            expression = pattern_of(self._name_pattern(rule, path, unclear), path)
            if rest is not False:
                out["patternProperties"] = {expression.engine: rest}
        else:
            raise unclear
        out["additionalProperties"] = False

    def _name_pattern(self, rule: dict[str, Any], path: Path, unclear: Refused) -> str:
        words = Words(rule, path, self.draft)
        pattern, name = words.text("pattern"), words.text("format")
        if pattern is not None:
            return pattern
        if name is not None:
            expression = FORMATS.get(name)
            if expression is None:
                raise unclear
            return f"^(?:{expression})$"
        least, most = words.count("minLength"), words.count("maxLength")
        if max(least or 0, most or 0) > 2_000:
            raise unclear
        return f"^[^\\n]{{{least or 0},{'' if most is None else most}}}$"

    def _combined(self, words: Words, resolver: Resolver) -> list[Any]:
        """`$ref`, `allOf`, `anyOf` and `oneOf`, each as a schema of its own."""
        parts: list[Any] = []
        reference = words.text("$ref")
        if reference is not None:
            parts.append({"$ref": f"#/$defs/{self._target(reference, resolver, words)}"})
        for word in _COMBINED:
            if word not in words.schema:
                continue
            branches = words.list_of_schemas(word)
            if not branches:
                raise words.refuse(f"has an empty `{word}`, which allows nothing")
            outside, self.exact = self.exact, self.exact or word == "oneOf"
            made = [
                self.schema(one, resolver, (*words.path, word, at), alone=word != "allOf")
                for at, one in enumerate(branches)
            ]
            self.exact = outside
            part = {word: made}
            if word == "oneOf":
                value = words.schema.get("discriminator")
                name = value.get("propertyName") if isinstance(value, dict) else None
                self.choices.append((part, name if isinstance(name, str) else None))
            self.places[id(part)] = words.path
            parts.append(part)
        return parts

    def _target(self, reference: str, resolver: Resolver, words: Words) -> str:
        try:
            lookup = resolver.lookup(reference)
        except (Unresolvable, ValueError, LookupError, AttributeError, TypeError) as error:
            if reference.startswith("#"):
                raise words.refuse(f"has a `$ref` to `{reference}`, and there is nothing") from error
            raise words.refuse(f"has a `$ref` that points outside the schema ({reference}); copy it in") from error
        key = (id(lookup.contents), self.exact)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = f"{self.prefix}{len(self._names)}"
            self.waiting.append((name, lookup.contents, lookup.resolver, (*words.path, "$ref"), self.exact))
            self.defs[name] = {}
        return name


_COMBINED = ("allOf", "anyOf", "oneOf")
_GROUPS = {"object": OBJECT, "array": ARRAY, "string": STRING, "number": NUMBER}


def _ending(defs: dict[str, Any]) -> set[str]:
    """The definitions that some finite value matches: not those that require themselves."""
    known: set[str] = set()
    while True:
        more = {name for name, schema in defs.items() if name not in known and _ends(schema, known)}
        if not more:
            return known
        known |= more


def _ends(schema: Any, known: set[str]) -> bool:
    if not isinstance(schema, dict):
        return True  # `false` is the engine's to refuse, where it matters
    if "enum" in schema:
        return True
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1] in known
    if "allOf" in schema:
        return all(_ends(one, known) for one in schema["allOf"])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return any(_ends(one, known) for one in schema[word])
    kinds = kinds_of(schema)
    if kinds - {"object", "array"}:
        return True
    properties, prefix = schema.get("properties", {}), schema.get("prefixItems", [])
    least = schema.get("minItems", 0)
    array = all(_ends(one, known) for one in prefix[:least]) and (
        least <= len(prefix) or _ends(schema.get("items", {}), known)
    )
    rest = schema.get("additionalProperties", {})
    required = all(_ends(properties.get(name, rest), known) for name in schema.get("required", ()))
    return ("array" in kinds and array) or ("object" in kinds and required)


def _all_parts(root: Any, defs: dict[str, Any]) -> list[dict[str, Any]]:
    all_parts: list[dict[str, Any]] = []
    waiting = [root, *defs.values()]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            all_parts.append(part)
            waiting += parts_of(part)
    return all_parts


def _patterned(schema: Any, defs: dict[str, Any], seen: set[str]) -> bool:
    """Whether `patternProperties` speaks of the value itself."""
    if not isinstance(schema, dict):
        return False
    if "patternProperties" in schema:
        return True
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        if name in seen:
            return False
        return _patterned(defs[name], defs, seen | {name})
    return any(_patterned(one, defs, seen) for word in _COMBINED for one in schema.get(word, ()))


def parts_of(schema: Any) -> list[Any]:
    """The schemas directly in a rewritten one."""
    if not isinstance(schema, dict):
        return []
    out = [
        *schema.get("prefixItems", ()),
        *(schema[word] for word in ("items", "additionalProperties") if word in schema),
    ]
    for word in ("properties", "patternProperties", "$defs"):
        out += schema.get(word, {}).values()
    for word in _COMBINED:
        out += schema.get(word, ())
    return [part for part in out if isinstance(part, dict)]
