"""Every field that a client may send: held to, harmless, refused, or unknown. None is dropped without a word.

Held to are those that a body's model names. The harmless ask nothing of the answer. The refused ask for something that
is not done here, unless they say what is done anyway. What nobody knows is answered all the same, because real clients
send what their other servers want, and is listed with the answer; a name that is nearly a known one is refused.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from clearseek.server.errors import ApiError

MAX_TOLD = 20
"""Unknown fields that are listed with an answer."""
_HARMLESS = """
user user_id store metadata service_tier safety_identifier prompt_cache_key prompt_cache_retention prompt_cache_options
prediction cache_prompt cache_salt id_slot slot_id keep_alive ttl request_id session_id chat_id conversation_id trace
trace_id priority guided_decoding_backend usage stream_usage timings_per_token return_progress extra_headers
extra_query timeout cache_control title_generation
"""
HARMLESS = frozenset(_HARMLESS.split())
"""Accepted, and mean nothing here: who asks, what for, and how another server may go about it."""

_WRITE = "write it as `response_format` with a JSON schema"
_ONE = "there is one answer for a request"
_SAMPLER = "the samplers are temperature, top_p, top_k, min_p, repetition_penalty and the two penalties of OpenAI"
_TOKENS = "the model decides where its answer ends"
REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    # another way to say what is understood in one form
    "functions": (([],), "write them as `tools`"),
    "function_call": (("auto", "none"), "write it as `tool_choice`"),
    "format": (("",), _WRITE),
    "options": (({},), "write what stands in it beside `messages`"),
    "extra_body": (({},), "what stands in it belongs beside `messages`"),
    "extra_params": (({},), "what stands in it belongs beside `messages`"),
    "system": (("",), "write it as the first of `messages`"),
    "num_predict": ((-1,), "write it as `max_tokens`"),
    "max_new_tokens": ((), "write it as `max_tokens`"),
    "max_output_tokens": ((), "write it as `max_tokens`"),
    "stop_sequences": (([],), "write them as `stop`"),
    "continue_final_message": ((False,), 'mark the last message with `"prefix": true` instead'),
    "add_generation_prompt": ((True,), 'mark the last message with `"prefix": true` to go on with it'),
    "budget_tokens": ((), "write it inside `thinking`"),
    # forms that no grammar here is made of
    "grammar": (("",), _WRITE),
    "guided_grammar": (("",), _WRITE),
    "guided_regex": (("",), 'write {"type": "string", "pattern": ...} as `guided_json` or as a `response_format`'),
    "guided_choice": (([],), 'write {"enum": [...]} as `guided_json` or as a `response_format`'),
    "guided_whitespace_pattern": (("",), "the white space of JSON answers is fixed here"),
    "structural_tag": (("",), _WRITE),
    "grammar_lazy": ((False,), _WRITE),
    "grammar_triggers": (([],), _WRITE),
    # more than one answer, or another kind of answer
    "best_of": ((1,), _ONE),
    "use_beam_search": ((False,), _ONE),
    "modalities": ((["text"],), "answers are text"),
    "audio": ((), "answers are text"),
    "images": (([],), "the model reads text only"),
    "videos": (([],), "the model reads text only"),
    "web_search_options": ((), "nothing is looked up on the web"),
    "web_search": ((False,), "nothing is looked up on the web"),
    "search_parameters": ((), "nothing is looked up on the web"),
    "enable_search": ((False,), "nothing is looked up on the web"),
    "documents": (([],), "put their text into the messages"),
    "plugins": (([],), "there are none"),
    "verbosity": (("medium",), "say in a message how long the answer should be"),
    "models": (([],), "one model answers: name it as `model`"),
    "route": ((), "one model answers: name it as `model`"),
    "provider": (({},), "the model answers on this machine or where its owner pointed it"),
    "transforms": (([],), "a conversation is never cut here: shorten it yourself"),
    "truncate_prompt_tokens": ((), "a conversation is never cut here: shorten it yourself"),
    "truncation": (("disabled",), "a conversation is never cut here: shorten it yourself"),
    "num_ctx": ((), "the context is set when the server is started (`--context`)"),
    "background": ((False,), "stream the answer instead"),
    "lora": (([],), "choose a model by its name"),
    "adapter": ((), "choose a model by its name"),
    "draft_model": ((), "there is no draft model"),
    "chat_template": ((), "the model's own template is used"),
    "template": ((), "the model's own template is used"),
    "raw": ((False,), "use /completions for text without a template"),
    "echo": ((False,), "use /completions to begin with your own text"),
    "include_reasoning": ((True,), "to do without the thinking, disable it; it is told apart in `reasoning_content`"),
    "reasoning_format": (("auto", "deepseek"), "the thinking is told apart in `reasoning_content`"),
    "separate_reasoning": ((True,), "the thinking is told apart in `reasoning_content`"),
    # samplers, and where an answer ends
    "typical_p": ((1, 1.0), _SAMPLER),
    "tfs_z": ((1, 1.0), _SAMPLER),
    "top_a": ((0,), _SAMPLER),
    "top_n_sigma": ((-1, 0), _SAMPLER),
    "epsilon_cutoff": ((0,), _SAMPLER),
    "eta_cutoff": ((0,), _SAMPLER),
    "mirostat": ((0,), _SAMPLER),
    "dynatemp_range": ((0,), _SAMPLER),
    "xtc_probability": ((0,), _SAMPLER),
    "dry_multiplier": ((0,), _SAMPLER),
    "length_penalty": ((1,), _SAMPLER),
    "no_repeat_ngram_size": ((0,), _SAMPLER),
    "encoder_repetition_penalty": ((1,), _SAMPLER),
    "samplers": (([],), _SAMPLER),
    "bad_words": (([],), "use `logit_bias` with the ids of their tokens"),
    "allowed_token_ids": (([],), "use `logit_bias`"),
    "ignore_eos": ((False,), _TOKENS),
    "min_tokens": ((0,), _TOKENS),
    "min_new_tokens": ((0,), _TOKENS),
    "stop_token_ids": (([],), "write what ends the answer as `stop`"),
    "include_stop_str_in_output": ((False,), "the answer ends before its `stop`"),
    "no_stop_trim": ((False,), "the answer ends before its `stop`"),
    "skip_special_tokens": ((True,), "control tokens are never text here"),
    "spaces_between_special_tokens": ((True,), "control tokens are never text here"),
    "t_max_predict_ms": ((0, -1), "bound the answer with `max_tokens`"),
    "n_keep": ((0, -1), "a conversation is never cut here"),
    "n_probs": ((0,), "use `logprobs` and `top_logprobs`"),
    "prompt_logprobs": ((0, False), "only generated tokens have likelihoods here"),
    "return_token_ids": ((False,), "token ids are not told"),
    "return_tokens": ((False,), "token ids are not told"),
    "return_tokens_as_token_ids": ((False,), "token ids are not told"),
    "logits_processors": (([],), _SAMPLER),
}
"""Refused, unless the value is one of those that ask for nothing; and what to do instead."""


def look_over(document: dict[str, Any], held: frozenset[str]) -> tuple[str, ...]:
    """The fields of a body that nobody knows, which are told with the answer. `held` are those that its model names.

    Raises ApiError (400) for a field that is refused, and for one whose name is nearly that of a known one.
    """
    unknown = []
    for name, value in document.items():
        if name in held or name in HARMLESS or value is None:
            continue
        if name in REFUSED:
            harmless, advice = REFUSED[name]
            if not any(value is one or (value == one and not isinstance(value, bool)) for one in harmless):
                raise ApiError(400, f"`{name}` is not done here: {advice}.", param=name)
            continue
        unknown.append(name[:100])
        if len(unknown) > MAX_TOLD:  # comparing names takes time, and a body may have half a million
            continue
        near = get_close_matches(name[:100], held, 1, 0.85)
        if near and near[0] not in document:
            raise ApiError(400, f"There is no field `{name[:100]}`: is it `{near[0]}`?", param=name[:100])
    rest = len(unknown) - MAX_TOLD
    return (*unknown[:MAX_TOLD], *([f"and {rest:,} more"] if rest > 0 else []))
