"""Serve a GGUF model on the loopback interface through an OpenAI-compatible API.

The server is llama.cpp's own, as packaged in xllamacpp: chat completions, answers bound to a JSON
schema, and a prompt cache, so that worked examples common to all requests are read once per slot.
It runs until it is stopped (Ctrl-C or SIGTERM).
"""

import argparse
import signal
import sys
from pathlib import Path


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--name", default="", help="model name in the API; default: any is taken")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--slots", type=int, default=8, help="requests answered together")
    parser.add_argument("--context", type=int, default=2048, help="tokens per slot")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--ubatch", type=int, default=512)
    parser.add_argument("--flash", default="auto")
    parser.add_argument("--kv", default="F16")
    parser.add_argument("--unified", type=int, default=0)
    parser.add_argument("--repack", type=int, default=1)
    parser.add_argument("--spec", default="")
    parser.add_argument("--poll", type=int, default=-1)
    return parser.parse_args()


def main() -> None:
    """Load the model and serve it."""
    args = options()
    import xllamacpp as x

    params = x.CommonParams()
    params.model.path = str(args.model)
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_parallel = args.slots
    params.n_ctx = args.context * args.slots
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    params.n_batch, params.n_ubatch = args.batch, args.ubatch
    params.flash_attn_type = getattr(x.llama_flash_attn_type, "LLAMA_FLASH_ATTN_TYPE_" + args.flash.upper())
    params.cache_type_k = params.cache_type_v = getattr(x.ggml_type, "GGML_TYPE_" + args.kv)
    params.kv_unified = bool(args.unified)
    params.no_extra_bufts = not args.repack
    params.fit_params = False
    params.ui = False
    if args.poll >= 0:
        params.cpuparams.poll = args.poll
    if args.spec:
        params.speculative.types = [getattr(x.common_speculative_type, "COMMON_SPECULATIVE_TYPE_" + args.spec)]
    server = x.Server(params)
    print("ready", server.listening_address, flush=True)
    signal.pause()
    del server


if __name__ == "__main__":
    main()
