"""One vocabulary for the three embedded models: characters, short merges, single digits, bytes for the rest."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, BOS, USER, ASSISTANT, END = SPECIALS = ("<pad>", "<bos>", "<|user|>", "<|assistant|>", "<|end|>")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}<|user|>{{ message['content'] }}"
    "{% else %}<|assistant|>{{ message['content'] }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Merges never cross punctuation, spaces or digits, and are at most this long: names stay composable.
LONGEST_MERGE = 3
_ISOLATED = Regex(r"[0-9]|[^\p{Han}A-Za-z]")


def build_vocabulary(texts: Iterable[str], alphabet: Iterable[str], size: int) -> Tokenizer:
    """BPE of at most `size` entries whose single characters cover `alphabet`, ASCII and all of `texts`."""
    ascii_printable = {chr(code) for code in range(32, 127)}
    texts = list(texts)
    characters = sorted(set(alphabet) | ascii_printable | {"\n"} | {c for text in texts for c in text})
    fixed = [*SPECIALS, *(f"<0x{byte:02X}>" for byte in range(256))]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(_ISOLATED, "isolated")
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=max(size - len(fixed), len(characters)),
            initial_alphabet=characters,
            max_token_length=LONGEST_MERGE,
            min_frequency=50,
            show_progress=False,
        ),
    )
    learned = learner.get_vocab()
    merges = [tuple(merge) for merge in _merges(learner)]
    ordered = [*fixed, *sorted(learned, key=learned.__getitem__)]
    model = models.BPE(
        vocab={token: index for index, token in enumerate(ordered)}, merges=merges, byte_fallback=True, fuse_unk=False
    )
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(_ISOLATED, "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def _merges(learner: Tokenizer) -> list[list[str]]:
    import json

    merges: list[list[str]] = json.loads(learner.to_str())["model"]["merges"]
    return merges


def chat_tokenizer(vocabulary: Tokenizer, max_tokens: int) -> PreTrainedTokenizerFast:
    """For the end model: no automatic special tokens, and the chat template."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(vocabulary.to_str()),
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=max_tokens,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def encoder_tokenizer(vocabulary: Tokenizer, max_tokens: int) -> PreTrainedTokenizerFast:
    """For the encoders: `<bos> text <|end|>`, and `<bos> text <|end|> text <|end|>` for pairs."""
    inner = Tokenizer.from_str(vocabulary.to_str())
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BOS}:0 $A:0 {END}:0",
        pair=f"{BOS}:0 $A:0 {END}:0 $B:1 {END}:1",
        special_tokens=[(BOS, SPECIALS.index(BOS)), (END, SPECIALS.index(END))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        cls_token=BOS,
        sep_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        model_max_length=max_tokens,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
