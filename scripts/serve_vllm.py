"""Serve a checkpoint on the loopback interface through vLLM's OpenAI-compatible server.

All GPUs that are visible share the model. It runs until it is stopped (Ctrl-C or SIGTERM).
"""

import argparse
import importlib.util
import os
import sys
from pathlib import Path


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of a checkpoint")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--name", required=True, help="name that requests give (teacher.model)")
    parser.add_argument("--context", type=int, default=4096, help="tokens of prompt and answer")
    parser.add_argument("--memory", type=float, default=0.9, help="share of a GPU's memory")
    parser.add_argument("--together", type=int, default=64, help="requests answered together")
    parser.add_argument("--dtype", default="bfloat16", help="number type of the weights")
    parser.add_argument("--eager", action="store_true", help="start sooner, compute slower")
    return parser.parse_args()


def main() -> None:
    """Become the server."""
    args = options()
    if not (args.model / "config.json").is_file():
        sys.exit(f"serve_vllm: {args.model}: no checkpoint here")
    if importlib.util.find_spec("vllm") is None:
        sys.exit("serve_vllm: vllm is not installed here: make environments (docs/cluster.md)")
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    os.environ |= {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(args.model),
    ]
    command += ["--served-model-name", args.name, "--host", "127.0.0.1", "--port", str(args.port)]
    command += ["--max-model-len", str(args.context), "--max-num-seqs", str(args.together)]
    command += ["--tensor-parallel-size", str(max(1, len(gpus))), "--dtype", args.dtype]
    if gpus:
        command += ["--gpu-memory-utilization", str(args.memory)]
    if args.eager:
        command.append("--enforce-eager")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
