"""Every causal language model of the installed transformers, small and random, through the end model's opening.

    python -m experiments.reliability.architectures --into docs/models.md
    python -m experiments.reliability.architectures --only llama gpt2 mamba

Each is made by its own config class with a few small sizes, saved with a tokenizer of bytes, opened as a run opens it,
asked for greedy replies and fine-tuned for a few steps. The replies are compared with those of transformers' `generate`
on one prompt at a time, the losses must fall. A model that is refused says so in one line. Prints a row as it goes;
writes the table between the marks of FILE.
"""

from __future__ import annotations

import argparse
import inspect
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from ecc_fed.core.errors import EccError
from ecc_fed.core.outside_text import cut
from ecc_fed.core.records import Decoding, Example, FineTuneJob, FineTuneSettings, ReplyRequest, Turn
from ecc_fed.end_model.adapters.low_rank import Lora
from ecc_fed.end_model.engines.opening import open_engine
from ecc_fed.end_model.engines.reference.engine import PeftEngine
from ecc_fed.end_model.settings import EndModelSettings
from ecc_fed.end_model.text.decoding import decode_reply
from ecc_fed.end_model.text.prompting import encode_prompt

MARKS = ("<!-- architectures: begin -->", "<!-- architectures: end -->")
# Of CPU time.
LIMIT_SECONDS = 40
NEW_TOKENS = 8
PROMPTS = ((Turn("customer", "发什么快递"),), (Turn("customer", "在"),), (Turn("customer", "几天到货呢亲"),))
END = 1
FAILS = "`generate` fails"
# By the names that configs have for them; a config takes those that it knows.
SIZES: dict[str, Any] = {
    "vocab_size": 272,
    "pad_token_id": 0,
    "bos_token_id": END,
    "eos_token_id": END,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "embedding_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "num_blocks"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "n_head_kv"), 2),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "decoder_ffn_dim", "n_inner", "d_inner", "ffn_hidden_size"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_intermediate_size"), 24),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"), 256),
    "head_dim": 8,
    "is_decoder": True,
    "layer_types": None,
    "sliding_window": 16,
    "state_size": 8,
}
# Of attention by latent vectors.
LATENT = {
    "head_dim": 4,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_group": 2,
    "topk_group": 1,
    "num_key_value_heads": 4,
}
# What sizes alone do not settle.
OWN: dict[str, dict[str, Any]] = {
    "gptj": {"rotary_dim": 8},
    "codegen": {"rotary_dim": 8},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 16},
    "phi3": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}},
    "glm": {"head_dim": 8},
    **dict.fromkeys(("deepseek_v3", "deepseek_v32", "glm4_moe_lite", "axk1", "axk2", "youtu", "glm_moe_dsa"), LATENT),
    "deepseek_v2": LATENT,
    "minicpm3": LATENT,
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "gpt_oss": {"head_dim": 8},
    "mpt": {"expansion_ratio": 2},
    "xlm": {"emb_dim": 32, "causal": True, "n_langs": 1},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one architecture: `served` says how, and `said` what else there is to say."""

    model_type: str
    served: str
    said: str


class _Late(KeyboardInterrupt):
    """An architecture takes too long; of a kind that nobody makes a refusal of."""


def architectures() -> list[str]:
    """Model types of text-only causal language models, by their class's name."""
    ends = ("ForCausalLM", "LMHeadModel", "Decoder")
    return [kind for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items() if str(name).endswith(ends)]


def small_model(model_type: str) -> Any:
    """A small random model of this type; raises what transformers raises where the sizes do not make one."""
    config_class = type(AutoConfig.for_model(model_type))
    known = set(inspect.signature(config_class.__init__).parameters) | set(config_class().to_dict())
    sizes = {name: value for name, value in SIZES.items() if name in known} | OWN.get(model_type, {})
    config = config_class(**{name: value for name, value in sizes.items() if name in known})
    if getattr(config, "vocab_size", None) != SIZES["vocab_size"]:
        raise ValueError("its config has its text model's sizes elsewhere")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model: Any = AutoModelForCausalLM.from_config(config).float()
        for parameter in model.parameters():
            # Livelier than configs have it, so that differences show.
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.15)
    return model.eval()


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Every byte a token, an end mark and a pad."""
    words = ["<|pad|>", "<|end|>", "<|user|>", "<|agent|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token=words[0], eos_token=words[END])
    tokenizer.add_special_tokens({"additional_special_tokens": words[2:4]})
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}<|user|>{{ m['content'] }}"
        "{% else %}<|agent|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|agent|>{% endif %}"
    )
    return tokenizer


@torch.inference_mode()
def generated(path: str, tokenizer: Any) -> list[str]:
    """Greedy replies of transformers' `generate`, one prompt at a time."""
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    # Without what some types' own settings do to drawing: a forced end, banned tokens.
    model.generation_config = GenerationConfig(pad_token_id=0, eos_token_id=END)
    replies = []
    for prompt in PROMPTS:
        ids = torch.tensor([encode_prompt(tokenizer, prompt, 64)])
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0
        )
        new = found[0, ids.shape[1] :].tolist()
        replies.append(decode_reply(tokenizer, new[: new.index(END)] if END in new else new))
    return replies


@torch.inference_mode()
def whole(path: str, tokenizer: Any) -> list[str]:
    """Greedy replies of the model's passes over whole texts, without a cache."""
    model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    replies = []
    for prompt in PROMPTS:
        ids = encode_prompt(tokenizer, prompt, 64)
        new: list[int] = []
        while len(new) < NEW_TOKENS and END not in new:
            logits = model(input_ids=torch.tensor([ids + new]), use_cache=False).logits
            new.append(int(logits[0, -1].argmax()))
        replies.append(decode_reply(tokenizer, [token for token in new if token != END]))
    return replies


def try_one(model_type: str, folder: Path) -> Outcome:
    """Makes, opens, asks and trains one."""
    try:
        model = small_model(model_type)
        model.save_pretrained(folder)
    except _Late:
        raise
    except Exception as error:  # dozens of kinds, from configs that want more than sizes
        return Outcome(model_type, "not made", _line(error))
    byte_tokenizer().save_pretrained(folder)
    attention = {name.rpartition(".")[2] for name, _ in model.named_modules()} & {"q_proj", "v_proj"}
    del model
    try:
        return _served(model_type, folder, Lora(2, lora_dropout=0.0))
    except EccError as error:
        refused = _line(" ".join(str(error).replace(f"the end model {folder} ", "").split()), 220)
    if not attention:
        return Outcome(model_type, "refused", refused)
    try:
        found = _served(model_type, folder, Lora(2, lora_dropout=0.0, target_modules=sorted(attention)))
    except EccError as error:
        return Outcome(model_type, "refused", _line(str(error).replace(f"the end model {folder} ", ""), 220))
    return replace(found, said=f"{found.said}, adapters on {' and '.join(sorted(attention))} alone")


def _served(model_type: str, folder: Path, adapter: Lora) -> Outcome:
    settings = EndModelSettings(path=str(folder), device="cpu", max_prompt_tokens=64, max_reply_tokens=32)
    engine: Any = open_engine(settings, adapter)
    examples = (Example(PROMPTS[0], "好"),)
    job = FineTuneJob(engine.new_adapter(0), None, examples, FineTuneSettings(steps=8, learning_rate=5e-3), 0)
    try:
        found = engine.reply([ReplyRequest(engine.new_adapter(0), PROMPTS, Decoding(NEW_TOKENS, sample=False), 0)])[0]
        losses = engine.fine_tune([job])[0].losses
    except Exception as error:
        if _against(found=None, path=str(folder), tokenizer=engine.tokenizer).startswith(FAILS):
            return Outcome(model_type, "fails", f"in transformers, too: {_line(error)}")
        raise
    said = _against(found, str(folder), engine.tokenizer)
    falls = min(losses[-2:]) < losses[0]
    return Outcome(model_type, _way(engine), said if falls else f"{said}, LOSS DOES NOT FALL")


def _against(found: list[str] | None, path: str, tokenizer: Any) -> str:
    """Replies beside those of `generate` and, where they are others, beside the model's passes over whole texts."""
    try:
        expected = generated(path, tokenizer)
    except Exception as error:
        why = f"{FAILS} ({_line(error)})"
    else:
        if found == expected:
            return "replies equal"
        why = "`generate` gives others than these"
    if found is None:
        return why
    return f"replies equal its passes over whole texts; {why}" if found == whole(path, tokenizer) else "REPLIES DIFFER"


def _way(engine: Any) -> str:
    return f"reference, {engine.way}" if isinstance(engine, PeftEngine) else "shared"


def _line(error: object, most: int = 160) -> str:
    return cut(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__, most)


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise _Late

    before = signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def table(outcomes: Sequence[Outcome]) -> str:
    """What was served or refused, as Markdown, and how many of each."""
    tried = [each for each in outcomes if each.served != "not made"]
    counts = {way: sum(each.served == way for each in tried) for way in dict.fromkeys(each.served for each in tried)}
    lines = [
        f"transformers {transformers.__version__}: {len(tried)} architectures tried; "
        + ", ".join(f"{count} {way}" for way, count in sorted(counts.items(), key=lambda item: -item[1]))
        + f". {len(outcomes) - len(tried)} more were not made, as their configs want more than sizes.",
        "",
        "| model type | engine | |",
        "|---|---|---|",
        *(f"| `{each.model_type}` | {each.served} | {each.said.replace('|', '/')} |" for each in tried),
    ]
    return "\n".join(lines)


def write_into(file: Path, text: str) -> None:
    """Puts the table between the marks of a page."""
    before, rest = file.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    file.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> list[Outcome]:
    """Tries them one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="MODEL_TYPE", help="these alone")
    parser.add_argument("--into", type=Path, metavar="FILE", help="a page with the table's marks")
    chosen = parser.parse_args(arguments)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    outcomes = []
    for model_type in chosen.only or architectures():
        with tempfile.TemporaryDirectory() as folder:
            try:
                with _limit(LIMIT_SECONDS):
                    outcome = try_one(model_type, Path(folder))
            except _Late:
                outcome = Outcome(model_type, "not made", f"takes more than {LIMIT_SECONDS} s of CPU time")
            except Exception as error:
                outcome = Outcome(model_type, "FAILED", f"{type(error).__name__}: {_line(error)}")
        outcomes.append(outcome)
        print(f"{model_type}\t{outcome.served}\t{outcome.said}", flush=True)
    if chosen.into is not None:
        write_into(chosen.into, table(outcomes))
    return outcomes


if __name__ == "__main__":
    main()
