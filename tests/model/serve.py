"""Serves one of the tests' models by llama.cpp's own server: prints its address, ends when its standard input does."""

import argparse
import sys
import threading
from pathlib import Path

import xllamacpp

MODELS = Path(__file__).resolve().parents[2] / "target" / "model"


def wanted():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="tiny-chat, slow-chat, tiny-embed or tiny-rerank")
    parser.add_argument("--directory", type=Path, default=MODELS, help="where the models are")
    parser.add_argument("--slots", type=int, default=4, help="-np")
    parser.add_argument("--context", type=int, default=4096, help="-c: shared out to the slots")
    parser.add_argument("--threads", type=int, default=1, help="-t")
    parser.add_argument("--key", action="append", default=[], help="--api-key")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    return parser.parse_args()


def settings(wanted):
    settings = xllamacpp.CommonParams()
    settings.model.path = str(wanted.directory / f"{wanted.model}.gguf")
    settings.model_alias = {wanted.model}
    settings.hostnames = [wanted.host]
    settings.port = wanted.port
    settings.n_parallel = wanted.slots
    settings.n_ctx = wanted.context
    settings.kv_unified = False
    settings.n_threads_http = 64
    settings.cpuparams.n_threads = wanted.threads
    settings.cpuparams_batch.n_threads = wanted.threads
    settings.endpoint_metrics = True
    settings.endpoint_slots = True
    settings.endpoint_props = False
    settings.use_jinja = True
    settings.warmup = False
    settings.api_keys = wanted.key
    # Nothing but the answer may reach standard output.
    settings.verbosity = 0
    if wanted.model == "tiny-embed":
        settings.embedding = True
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if wanted.model == "tiny-rerank":
        settings.embedding = True
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    return settings


server = xllamacpp.Server(settings(wanted()))
print(server.listening_address, flush=True)
sys.stdin.read()
