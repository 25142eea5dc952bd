"""Tokenizers of the kinds that people bring, a few hundred pieces each, built here."""

from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
INST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
TRIMMED = (
    "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
LETTERS = "▁[]/INSTuserassistant客户在吗亲发货的有没多少钱今天能保温杯\n|<>end:：0123456789"


def fast(backend: Tokenizer, template: str | None, **marks: Any) -> Any:
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=backend, **marks)
    tokenizer.chat_template = template
    return tokenizer


def byte_level(template: str | None = CHATML, eos: str = "<|im_end|>", specials: tuple[str, ...] = ()) -> Any:
    """Qwen's kind: bytes with a few merges, some of which reach over a line's end, and markup that is not special."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *specials]
    merges = [("Ċ", "Ċ"), ("Ġ", "Ġ"), ("l", "e"), (":", "Ċ")]
    vocabulary = {piece: index for index, piece in enumerate([*names, *alphabet, *(a + b for a, b in merges)])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = fast(backend, template, pad_token="<|endoftext|>", eos_token=eos, additional_special_tokens=names[1:])
    markup = ("<think>", "</think>", "<tool_call>", "保温杯", "   ")
    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in markup])
    return tokenizer


def prefixed(legacy: bool, template: str | None = INST) -> Any:
    """Llama 2's kind: `▁` is put before a text, or before each text between control tokens (`legacy`)."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    for piece in [*(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS, "▁在", "▁▁"]:
        vocabulary.setdefault(piece, len(vocabulary))
    merges = [("▁", "在"), ("▁", "▁")]
    backend = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    if legacy:
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return fast(backend, template, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>")


def unigram(template: str | None = TRIMMED) -> Any:
    """T5's and Gemma's kind: whole pieces by score, control tokens among them."""
    names = ["<unk>", "</s>", "<start_of_turn>", "<end_of_turn>"]
    pieces = [(name, 0.0) for name in names]
    letters = dict.fromkeys([*LETTERS, "_", "o", "f", "m", "l"])
    pieces += [(piece, -2.0 - index / 100) for index, piece in enumerate(letters)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    return fast(
        backend, template, unk_token="<unk>", eos_token="</s>", pad_token="</s>", additional_special_tokens=names[2:]
    )


def bert(template: str | None = None) -> Any:
    """BERT's kind, whose pieces are words, single Chinese characters and marks."""
    latin = "abcdefghijklmnopqrstuvwxyz0123456789"
    letters = f"亲，有货的这款保温杯现在五十九元一个哦在吗多少钱今天能发客户服：。？！.,-~(){latin}"
    words = ["hello", "world", "iphone", "59"]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(letters), *words]
    pieces += [f"##{letter}" for letter in latin]
    tokenizer: Any = BertTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, do_lower_case=True, eos_token="[SEP]"
    )
    tokenizer.chat_template = template
    return tokenizer


KINDS: dict[str, Callable[[], Any]] = {
    "bytes": byte_level,
    "bytes, trimmed": lambda: byte_level(TRIMMED, specials=("<start_of_turn>", "<end_of_turn>")),
    "prefix everywhere": lambda: prefixed(legacy=True),
    "prefix first": lambda: prefixed(legacy=False),
    "unigram": unigram,
    "bert": lambda: bert("{% for m in messages %}[CLS] {{ m.content }} [SEP]{% endfor %}"),
}
