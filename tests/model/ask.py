"""OpenAI's own client as people use it: reads calls as JSON, makes them one after the other, tells what came of each.

A call is {"call": NAME, "with": {arguments}}, and for some: "stream": true, "cut": chunks after which it leaves, "retries",
"timeout", "key". Calls that the client has no method for are posted as they are.
"""

import json
import ssl
import sys
import time

import openai

base, key, authority = (sys.argv[1:] + [None, None])[:3]
WAYS = {
    "chat": lambda client: client.chat.completions.create,
    "completions": lambda client: client.completions.create,
    "embeddings": lambda client: client.embeddings.create,
    "responses": lambda client: client.responses.create,
}


def client_for(call):
    more = {}
    if authority:
        more["http_client"] = openai.DefaultHttpxClient(verify=ssl.create_default_context(cafile=authority))
    return openai.OpenAI(
        base_url=base,
        api_key=call.get("key", key),
        max_retries=call.get("retries", 0),
        timeout=call.get("timeout", 60),
        **more,
    )


def answer(client, call):
    name, arguments, streams = call["call"], call.get("with", {}), call.get("stream", False)
    if name == "models":
        return {"models": [model.id for model in client.models.list()]}
    if streams:
        arguments["stream"] = True
    if name in WAYS:
        given = WAYS[name](client)(**arguments)
    elif streams:
        given = client.post(f"/{name}", cast_to=object, body=arguments, stream=True, stream_cls=openai.Stream[object])
    else:
        given = client.post(f"/{name}", cast_to=object, body=arguments)
    if not streams:
        return {"answer": plain(given)}
    chunks = []
    with given:
        for chunk in given:
            chunks.append(plain(chunk))
            if len(chunks) == call.get("cut"):
                break
    return {"chunks": chunks}


def plain(given):
    return given.model_dump(exclude_unset=True) if hasattr(given, "model_dump") else given


def outcome(call):
    begun = time.monotonic()
    try:
        told = answer(client_for(call), call)
    except openai.APIStatusError as error:
        told = {"error": type(error).__name__, "status": error.status_code, "body": error.body}
        told["headers"] = dict(error.response.headers)
    except openai.APIError as error:
        told = {"error": type(error).__name__, "message": str(error), "body": error.body}
    told["seconds"] = time.monotonic() - begun
    return told


for line in sys.stdin:
    print(json.dumps(outcome(json.loads(line))), flush=True)
