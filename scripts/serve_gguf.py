"""Serve a GGUF model on the loopback interface through an OpenAI-compatible API.

The server is llama.cpp's own, as packaged in xllamacpp: chat completions, answers bound to a JSON
schema, and a cache per slot that keeps what its last request and the next one have in common, such
as worked examples. It runs until it is stopped (Ctrl-C or SIGTERM).

On few CPU cores one slot is best: arithmetic, not memory, is the limit there (a token costs the
same alone as in a batch of four), each slot reads the common examples anew, and without
batches equal requests in equal order give equal answers. On many cores, or to keep the latency of
single requests even, raise --slots and teacher.concurrency together.
"""

import argparse
import os
import signal
import sys
from pathlib import Path


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--slots", type=int, default=1, help="requests answered together")
    parser.add_argument("--context", type=int, default=2048, help="tokens per slot")
    return parser.parse_args()


def main() -> None:
    """Load the model and serve it."""
    args = options()
    if not args.model.is_file():
        sys.exit(f"serve_gguf: {args.model}: no such file")
    # Handled in a waiting main thread: the native threads must not be interrupted.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(args.model)
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_parallel = args.slots
    params.n_ctx = args.context * args.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = args.threads
    params.cache_idle_slots = False  # a slot keeps its prefix in place, no copy in memory
    params.cache_ram_mib = 0
    params.fit_params = False  # it would shrink the context to the memory free just now
    params.ui = False
    try:
        server = xllamacpp.Server(params)
    except (RuntimeError, OSError) as error:
        sys.exit(f"serve_gguf: {args.model} can not be served on port {args.port}: {error}")
    print(f"serve_gguf: {args.model.name} on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    sys.stdout.flush()
    os._exit(0)  # closing the server may wait for ever


if __name__ == "__main__":
    main()
