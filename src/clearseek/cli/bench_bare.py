"""The peer of `bench serve`: llama.cpp's own server, bare. `python -m clearseek.cli.bench_bare`, settings on stdin.

Same file, context, slots and threads as ours gets; everything else as it comes. It ends when stdin does.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    import xllamacpp

    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # llama.cpp logs to the C stdout
    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = settings["total_context"]
    params.n_parallel = settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.cache_ram_mib = settings["cache_mib"]
    server = xllamacpp.Server(params)
    print(server.listening_address, file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
