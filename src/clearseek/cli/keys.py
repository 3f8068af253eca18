"""`clearseek keys`: who may use the server from another machine."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")],
    usd_per_day: Annotated[
        float | None, typer.Option("--usd-per-day", min=0, help="What its answers may cost, from midnight to midnight.")
    ] = None,
    tokens_per_day: Annotated[
        int | None, typer.Option("--tokens-per-day", min=0, help="How many tokens they may read and write.")
    ] = None,
    json_: Json = False,
) -> None:
    """Make a key and print it; it is shown this once and kept only as a hash."""
    import sys

    from clearseek.inference.budget import Caps
    from clearseek.server import keys

    caps = Caps(usd_per_day, tokens_per_day)
    if caps.any:
        from clearseek.server.budgets import require_holdable
        from clearseek.settings import load_settings

        require_holdable(load_settings(), caps, "this key")
    secret = keys.create(name, caps=caps)
    if json_:
        import json

        budget = {"usd_per_day": usd_per_day, "tokens_per_day": tokens_per_day}
        print(json.dumps({"name": name, "key": secret, **budget}))
    else:
        print(secret)
        print("Keep it now: it cannot be shown again. Send it as `Authorization: Bearer KEY`.", file=sys.stderr)


@app.command("list")
def list_(json_: Json = False) -> None:
    """The names of the keys there are, with when each was made, and what each may spend in a day."""
    import json
    import sys
    import time

    from clearseek.server import keys

    listed = keys.list_keys()
    if json_:
        names = ("id", "name", "created_at", "usd_per_day", "tokens_per_day")
        fields = [{name: getattr(key, name) for name in names} for key in listed]
        print(json.dumps({"keys": fields}))
        return
    for key in listed:
        budget = [f"${key.usd_per_day:g} a day"] if key.usd_per_day is not None else []
        budget += [f"{key.tokens_per_day:,} tokens a day"] if key.tokens_per_day is not None else []
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(key.created_at))
        print("\t".join([key.name, made, key.id, *([", ".join(budget)] if budget else [])]))
    if not listed:
        print("There are no keys; make one with `clearseek keys create NAME`.", file=sys.stderr)


@app.command("rm")
def rm(name: Annotated[str, typer.Argument(help="The name or the id of a key.")]) -> None:
    """Remove a key; a running server refuses it from then on."""
    import sys

    from clearseek.server import keys

    keys.remove(name)
    print(f"Removed the key {name}.", file=sys.stderr)
