"""What a base can do, by trying: before any shop depends on it, and for architectures that nobody has listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ecc_fed.core.aggregation import Shapes
from ecc_fed.end_model.adapters.names import ENCODER, MAGNITUDE
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.engines.reference.generation import Way, plain_logits, stepper_of
from ecc_fed.end_model.engines.reference.training import label_logits
from ecc_fed.end_model.training.examples import EncodedExample
from ecc_fed.models.folder import reason_of, refusal

_ROLE = "end model"
_PROMPTS = (5, 3)
_DRAWN = 3
_WITH_CACHE: tuple[Way, ...] = ("batched", "one by one")
# Norms of differences against norms of what is compared: rounding is far below, another position or mask far above.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
_COARSE_TOLERANCE = 0.2


def choose_way(model: Any, device: torch.device, path: str) -> tuple[Way, str]:
    """The fastest way to generate whose logits are the model's own, and why no faster one; "" for the fastest.

    Args:
        model: peft's, in evaluation mode, its adapter not used.
        device: the model's.
        path: the base's; for messages.

    Raises:
        ModelError: it gives no logits, or they depend on what comes later, or on padding behind a text.
    """
    vocabulary = model.get_base_model().get_input_embeddings().weight.shape[0]
    texts = [
        [(7 * row + 3 * place + 1) % vocabulary for place in range(size + _DRAWN)] for row, size in enumerate(_PROMPTS)
    ]
    with torch.inference_mode(), model.disable_adapter():
        expected = [plain_logits(model, text, device) for text in texts]
        if not all(logits.isfinite().all() for logits in expected):
            raise refusal(_ROLE, path, "gives logits that are no numbers", "copy its weights again")
        for text, logits, size in zip(texts, expected, _PROMPTS, strict=True):
            if not _alike(plain_logits(model, text[:size], device), logits[:size]):
                raise refusal(
                    _ROLE,
                    path,
                    "does not speak word by word: what it says depends on what comes after it",
                    "take a causal language model (a decoder)",
                )
        examples = [EncodedExample(text, size) for text, size in zip(texts, _PROMPTS, strict=True)]
        labels = torch.cat([logits[size - 1 : -1] for logits, size in zip(expected, _PROMPTS, strict=True)])
        if not _alike(label_logits(model, examples, device)[0], labels):
            remedy = "take another base: this one could not be trained"
            raise refusal(_ROLE, path, "gives other logits in a padded batch", remedy)
        why = ""
        for way in _WITH_CACHE:
            try:
                if _same(way, model, texts, expected, device):
                    return way, why
                reason = "other logits come out"
            except Exception as error:
                reason = reason_of(error)
            why = f"{why}; " if why else ""
            why += f"{'in a padded batch' if way == 'batched' else 'with a cache'} {reason}"
    return "anew", why


def _same(way: Way, model: Any, texts: Sequence[list[int]], expected: Sequence[Tensor], device: torch.device) -> bool:
    """Whether prompts and the tokens behind them give the expected logits, the first row leaving on the way."""
    sizes = list(_PROMPTS)
    stepper = stepper_of(way, model, [text[:size] for text, size in zip(texts, sizes, strict=True)], device)
    alike = _alike(stepper.first(), torch.stack([e[size - 1] for e, size in zip(expected, sizes, strict=True)]))
    tokens = torch.tensor([text[size] for text, size in zip(texts, sizes, strict=True)], device=device)
    found = stepper.next(tokens)
    alike = alike and _alike(found, torch.stack([e[size] for e, size in zip(expected, sizes, strict=True)]))
    stepper.keep(torch.tensor([1], device=device))
    found = stepper.next(torch.tensor([texts[1][sizes[1] + 1]], device=device))
    return alike and _alike(found, expected[1][sizes[1] + 1][None])


def _alike(found: Tensor, expected: Tensor) -> bool:
    tolerance = _TOLERANCE.get(expected.dtype, _COARSE_TOLERANCE)
    found, expected = found.float(), expected.float()
    spread = (expected - expected.mean(-1, keepdim=True)).norm()
    return bool((found - expected).norm() <= tolerance * spread)


def try_adapter(model: Any, device: torch.device) -> None:
    """Serves a few tokens with a fresh adapter on; raises what peft or the base raises."""
    with torch.inference_mode():
        label_logits(model, [EncodedExample([1, 2, 3], 1), EncodedExample([1, 2], 1)], device)


def try_prefix(model: Any, way: Way, device: torch.device) -> None:
    """Trains and serves a few tokens behind peft's prefix; raises what peft or the base raises."""
    with torch.inference_mode():
        label_logits(model, [EncodedExample([1, 2, 3], 1), EncodedExample([1, 2], 1)], device)
        stepper = stepper_of(way, model, [[1, 2], [1]], device, prefixed=True)
        stepper.first()
        stepper.next(torch.tensor([1, 2], device=device))


def require_linear(shapes: Shapes, settings: AdapterSettings, path: str) -> None:
    """Refuses an adapter of which a tensor would not be trained, saved or aggregated as a pair's A or B is.

    peft has pairs of other names beside embeddings, of more dimensions beside convolutions, and, beside the experts of
    a mixture, of all experts' ranks in one.

    Raises:
        ModelError: names the first such module.
    """
    own_rank = settings.peft_words().get("r")
    for name, shape in shapes.items():
        pair = ".lora_A." in name or ".lora_B." in name
        linear = pair and len(shape) == 2 and own_rank == shape[0 if ".lora_A." in name else 1]
        if not linear and not name.endswith(MAGNITUDE) and not name.startswith(f"{ENCODER}."):
            module = name.removeprefix("base_model.model.").split(".lora_")[0]
            raise refusal(
                _ROLE,
                path,
                f"cannot bear a {settings.method} adapter on {module}, which is no linear layer",
                "name linear layers alone in adapter.target_modules, such as q_proj and v_proj",
            )


def room_of(model: Any, tokens: int, device: torch.device, path: str) -> int | None:
    """How many positions the base has, if they are fewer than `tokens`; None where they are enough.

    Raises:
        ModelError: it cannot read as many tokens as its own config says.
    """
    base = model.get_base_model()
    declared = getattr(base.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if isinstance(declared, int) and declared >= tokens:
        return None
    if isinstance(declared, int) and _has_table(base, declared):
        return declared
    if device.type != "cpu":  # an index beyond a table would end the GPU's context
        return None
    with torch.inference_mode(), model.disable_adapter():
        if _reads(model, tokens, device):
            return None
        if isinstance(declared, int) and _reads(model, declared, device):
            return declared
    raise refusal(
        _ROLE,
        path,
        f"cannot read {tokens} tokens, and does not say how many it can",
        "lower end_model.max_prompt_tokens and end_model.max_reply_tokens",
    )


def _has_table(base: Any, positions: int) -> bool:
    """Whether one of its embeddings has a row for each position, and a few more."""
    words = base.get_input_embeddings()
    tables = (each for each in base.modules() if isinstance(each, torch.nn.Embedding) and each is not words)
    return any(positions <= each.num_embeddings <= positions + 8 for each in tables)


def _reads(model: Any, tokens: int, device: torch.device) -> bool:
    try:
        plain_logits(model, [0] * tokens, device)
    except Exception:
        return False
    return True
