"""Opens a model with its tokenizer, or says plainly why it cannot be opened.

What a user can get wrong is refused by the model's name, what is wrong and the remedy; above all a
checkpoint with missing weights, which transformers would fill with random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from ecc_fed.core.errors import EccError, ModelError
from ecc_fed.models.folder import find_folder, own_code, reason_of, refusal


@dataclass(frozen=True)
class OpenedModel:
    """A frozen model in evaluation mode on its device; `missing` weights, if any, are random numbers."""

    model: Any
    tokenizer: Any
    device: torch.device
    role: str
    path: str
    missing: tuple[str, ...]

    def refusal(self, reason: str, remedy: str) -> ModelError:
        """The error for something that is wrong with this model, to be raised."""
        return refusal(self.role, self.path, reason, remedy)

    def refusing(self, remedy: str) -> AbstractContextManager[None]:
        """Within the block, whatever fails is this model's fault, and refused with that remedy."""
        return refusing(self.role, self.path, "cannot be used", remedy)

    def require_weights(
        self, remedy: str = "copy the whole checkpoint, or the config.json that belongs to it", besides: str = ""
    ) -> None:
        """Refuses missing weights, but for those whose names begin with `besides`.

        Raises:
            ModelError: names how many are missing and the first.
        """
        lacking = [name for name in self.missing if not besides or not name.startswith(besides)]
        if lacking:
            raise self.refusal(
                f"lacks {len(lacking)} weights that its config.json describes, the first being {lacking[0]}", remedy
            )


@contextmanager
def refusing(role: str, path: str | Path, what: str, remedy: str) -> Iterator[None]:
    """Within the block, whatever is raised becomes one error with the model's name, the reason and a remedy.

    By no list of kinds: transformers, peft and what they call raise dozens, of which some are no `Exception` at all (a
    tokenizer's panic). Errors for the user and what ends a process pass as they are.

    Raises:
        ModelError: in the place of anything else.
    """
    try:
        yield
    except (EccError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        if "trust_remote_code" in str(error):
            raise own_code(role, Path(path)) from error
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            remedy = "it does not fit into memory; take a smaller or a quantized model, or another device"
        raise refusal(role, path, f"{what} ({reason_of(error)})", remedy) from error


def open_model(path: str, auto_class: Any, role: str, device: torch.device, **loading: Any) -> OpenedModel:
    """The model at `path`, frozen and in evaluation mode.

    Args:
        path: a folder or a hub id.
        auto_class: transformers' class that opens it, such as `AutoModelForCausalLM`.
        role: what the model is for, such as "end model"; for messages.
        device: where it runs.
        loading: further arguments of `from_pretrained`; a `device_map` among them takes the place of `device`.

    Raises:
        ModelError: nothing usable at `path`: its parts are missing, broken or of different models. Weights
            that the checkpoint lacks are the caller's to refuse (`OpenedModel.require_weights`).
    """
    from transformers import AutoTokenizer  # with hundreds of models, which take a second

    folder = find_folder(path, role)
    belong = "config.json, weights and tokenizer must belong together and be complete"
    with refusing(role, folder, f"cannot be loaded as {auto_class.__name__}", belong), quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, info = auto_class.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,  # of a pickle
            ignore_mismatched_sizes=True,  # refused below, by name
            output_loading_info=True,
            **loading,
        )
        if "device_map" not in loading:
            model.to(device)
    if info["mismatched_keys"]:
        name, shape, wanted = min(info["mismatched_keys"])
        raise refusal(
            role,
            folder,
            f"has {len(info['mismatched_keys'])} weights of other shapes than its config.json says, the first being "
            f"{name} of {tuple(shape)} in place of {tuple(wanted)}",
            "the files of two models are mixed; copy the checkpoint again",
        )
    missing = tuple(sorted(str(key) for key in info["missing_keys"]))
    return OpenedModel(model.eval().requires_grad_(False), tokenizer, device, role, path, missing)


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back transformers' reports and progress bars: what is missing is checked and named here."""
    log: Any = transformers_logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()
