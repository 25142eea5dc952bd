"""What an aggregator knows of the base and of the adapter that it sent: tokens' features, and texts' hidden states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch

from ecc_fed.core.aggregation import low_rank_pairs
from ecc_fed.core.records import AdapterState, Example, Turn
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.limits import TokenLimits
from ecc_fed.end_model.training.examples import EncodedExample, encode_example
from ecc_fed.privacy.attacks.span import Floats, whitening

_PREFIX, _SUFFIX = "base_model.model.", ".lora_A.weight"


class Inside:
    """A Llama-like base with one adapter added to its weights, on the CPU.

    `modules` are the adapted ones, by peft's names without a factor's; `places` those that read one and the same input.

    Args:
        path: the base's folder.
        adapter: that the round starts from.
        scale: of its B A.
        limits: how texts are cut.
    """

    def __init__(self, path: str, adapter: AdapterState, scale: float, limits: TokenLimits) -> None:
        base = load_base(path, device="cpu")
        self._model, self.tokenizer, self._limits = base.model.float(), base.tokenizer, limits
        decoder = self._model.model
        with torch.no_grad():
            embedding = self._model.get_input_embeddings().weight
            # Positions enter q and k after their products, so this is all that the first attention reads of a token.
            self.first_inputs: Floats = decoder.layers[0].input_layernorm(embedding).double().numpy()
            # A step moves the last states along the head's rows, less their mean: probabilities sum to one.
            head = (self._model.get_output_embeddings().weight * decoder.norm.weight).double()
            self.head_rows: Floats = (head - head.mean(0)).numpy()
            self.modules = [a.removesuffix(_SUFFIX) for a, _ in low_rank_pairs(adapter)]
            for name in self.modules:
                b, a = (torch.tensor(adapter[f"{name}.lora_{factor}.weight"]) for factor in "BA")
                self._module(name).weight += scale * b @ a
        self.places = self._places()
        self.template = frozenset(self.encode(Example((Turn("customer", "啊"),), "啊")).ids) - self.said("啊")

    def encode(self, example: Example) -> EncodedExample:
        """As it is trained on."""
        return encode_example(self.tokenizer, example, self._limits.max_prompt_tokens, self._limits.max_reply_tokens)

    def said(self, text: str) -> frozenset[int]:
        """The tokens of a text."""
        return frozenset(self.tokenizer.encode(text, add_special_tokens=False))

    def inputs(self, example: Example) -> dict[str, Floats]:
        """By place what its modules read of the text: (tokens, d), without the last token, which no loss sees."""
        read = self._read(self.encode(example).ids[:-1])
        return {place: read[modules[0]][0].double().numpy() for place, modules in self.places.items()}

    def metrics(self, texts: Sequence[Example]) -> dict[str, Floats]:
        """By place the whitening of its inputs, over texts that the attacker has."""
        read = [self.inputs(text) for text in texts]
        return {place: whitening(np.concatenate([each[place] for each in read])) for place in self.places}

    def updates(self, delta: AdapterState) -> dict[str, list[np.ndarray]]:
        """By place its modules' updates of A."""
        return {
            place: [delta[f"{module}.lora_A.weight"] for module in modules] for place, modules in self.places.items()
        }

    def _module(self, name: str) -> torch.nn.Module:
        return self._model.get_submodule(name.removeprefix(_PREFIX))

    @torch.inference_mode()
    def _read(self, ids: Sequence[int]) -> Mapping[str, torch.Tensor]:
        """By module its input (1, tokens, d): the very same tensor where they read the same."""
        found: dict[str, torch.Tensor] = {}

        def keep(name: str, _: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found[name] = inputs[0]

        hooks = [self._module(name).register_forward_pre_hook(partial(keep, name)) for name in self.modules]
        try:
            self._model(input_ids=torch.tensor([list(ids)]), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def _places(self) -> dict[str, list[str]]:
        """By the first module of each its modules, in the order of the forward pass."""
        first: dict[int, str] = {}
        places: dict[str, list[str]] = {}
        for name, read in self._read([0, 1]).items():
            places.setdefault(first.setdefault(id(read), name), []).append(name)
        return places
