"""Makes the tests' language models: small ones of random weights, the same ones each time.

A model that knows nothing answers with words that mean nothing, to exactly as many tokens as were asked for, and costs no
download. Everything else about it is real: tokens, slots, limits of the context, caches, errors.
"""

import sys
from pathlib import Path

import gguf
import numpy

CONTEXT = 131_072
HEADS = 4

# Typed parts of a message are joined by the server; tools are ignored, so an agent may offer some.
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

WORDS = """
a about above across after again against all almost along already also although always among an and another any are around as
ask at away back be because become been before began begin being below between both but by call came can change children city
close come could country cut day did different do does done door down each early earth eat end enough even every example eye
face fall family far father feel few find first follow food for form found four friend from get girl give go good great group
grow had hand hard has have he head hear help her here high him his home house how idea if important in into is it its just keep
kind know land large last late learn leave left let letter life light like line list little live long look made make man many may
me mean men might mile miss more most mother mountain move much music must my name near need never new next night no not now
number of off often old on once one only open or other our out over own page paper part people picture place plant play point put
question quick read real right river run said same saw say school sea second see seem sentence set she should show side small so
some something sometimes song soon sound spell stand start state still stop story study such take talk tell than that the their
them then there these they thing think this those though thought three through time to together too took tree try turn two under
until up us use very walk want was watch water way we well went were what when where which while white who why will with without
word work world would write year you young your function return value error string number file server memory model token request
answer limit queue slot stream client gateway hackathon editor project test build code data type class object list index
""".split()


def vocabulary():
    """Pieces of words, each with all its beginnings: the tokenizer joins them letter by letter."""
    pieces = {"<unk>": gguf.TokenType.UNKNOWN, "<s>": gguf.TokenType.CONTROL, "</s>": gguf.TokenType.CONTROL}
    pieces.update({f"<0x{byte:02X}>": gguf.TokenType.BYTE for byte in range(256)})
    letters = [chr(code) for code in range(33, 127)] + ["\u2581"]
    pieces.update({letter: gguf.TokenType.NORMAL for letter in letters})
    for word in WORDS:
        for length in range(1, len(word) + 1):
            pieces["\u2581" + word[:length]] = gguf.TokenType.NORMAL
            pieces[word[:length]] = gguf.TokenType.NORMAL
    return list(pieces.items())


def write(path, name, layers, width, pooling=None):
    chance = numpy.random.default_rng(7)
    pieces = vocabulary()
    # The plain one has no layer that ends in a score.
    scores = pooling == gguf.PoolingType.RANK
    writer = gguf.GGUFWriter(path, "qwen3" if scores else "llama")
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(width * 2)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(pieces))
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_types([kind for _, kind in pieces])
    # Longer pieces win.
    writer.add_token_scores([float(len(piece)) if kind == gguf.TokenType.NORMAL else 0.0 for piece, kind in pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if pooling is None:
        writer.add_chat_template(TEMPLATE)
    else:
        writer.add_pooling_type(pooling)
    if scores:
        writer.add_classifier_output_labels(["fits", "does not"])

    def matrix(name, rows, columns):
        values = chance.standard_normal((rows, columns)) * columns**-0.5
        writer.add_tensor(name, values.astype(numpy.float16))

    def ones(name, length=width):
        writer.add_tensor(name, numpy.ones(length, dtype=numpy.float32))

    embedding = chance.standard_normal((len(pieces), width))
    # One number that is large for every token, and through which what is no text never becomes likely.
    embedding[:, 0] = 8.0
    writer.add_tensor("token_embd.weight", embedding.astype(numpy.float16))
    ones("output_norm.weight")
    output = chance.standard_normal((len(pieces), width)) * 0.5
    output[:, 0] = [1.0 if kind == gguf.TokenType.NORMAL else -100.0 for _, kind in pieces]
    writer.add_tensor("output.weight", output.astype(numpy.float16))
    for layer in range(layers):
        part = f"blk.{layer}"
        ones(f"{part}.attn_norm.weight")
        for tensor in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{part}.{tensor}.weight", width, width)
        if scores:
            ones(f"{part}.attn_q_norm.weight", width // HEADS)
            ones(f"{part}.attn_k_norm.weight", width // HEADS)
        ones(f"{part}.ffn_norm.weight")
        matrix(f"{part}.ffn_gate.weight", width * 2, width)
        matrix(f"{part}.ffn_up.weight", width * 2, width)
        matrix(f"{part}.ffn_down.weight", width, width * 2)
    if scores:
        matrix("cls.output.weight", 2, width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    directory = Path(sys.argv[1])
    write(directory / "tiny-chat.gguf", "tiny-chat", layers=2, width=64)
    # Some two hundred tokens a second: requests wait for each other.
    write(directory / "slow-chat.gguf", "slow-chat", layers=8, width=512)
    write(directory / "tiny-embed.gguf", "tiny-embed", layers=2, width=64, pooling=gguf.PoolingType.MEAN)
    write(directory / "tiny-rerank.gguf", "tiny-rerank", layers=2, width=64, pooling=gguf.PoolingType.RANK)


main()
