"""An aggregator's state as one file: safetensors, with its numbers in the header."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ecc_fed.core.aggregation import AggregatorState
from ecc_fed.core.errors import RunDirectoryError
from ecc_fed.core.records import Array
from ecc_fed.core.run_directory import write_bytes

# First part of a tensor's name in the file; the other parts follow after slashes, which no tensor's name has.
_ADAPTER, _TENSORS, _SHOPS, _CONTROL = "adapter", "tensors", "shops", "control"


def save_state(path: Path, state: AggregatorState) -> None:
    """Writes the file whole or not at all.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    flat: dict[str, Array] = {f"{_ADAPTER}/{name}": tensor for name, tensor in (state.adapter or {}).items()}
    flat |= {f"{_TENSORS}/{name}": tensor for name, tensor in state.tensors.items()}
    flat |= {f"{_CONTROL}/{name}": tensor for name, tensor in state.control.items()}
    for shop_id, tensors in state.shops.items():
        flat |= {f"{_SHOPS}/{name}/{shop_id}": tensor for name, tensor in tensors.items()}
    numbers = {"scalars": dict(state.scalars), "num_shops": state.num_shops}
    # One entry alone: safetensors writes several in any order, and equal states are equal files.
    write_bytes(path, save(flat, {"numbers": json.dumps(numbers)}))


def load_state(path: Path) -> AggregatorState:
    """Reads what `save_state` wrote, bit for bit.

    Raises:
        RunDirectoryError: the file is missing or broken.
    """
    parts: dict[str, dict[str, Array]] = {_ADAPTER: {}, _TENSORS: {}, _CONTROL: {}}
    shops: dict[str, dict[str, Array]] = {}
    try:
        with safe_open(path, "numpy") as file:
            numbers = json.loads(file.metadata()["numbers"])
            scalars, num_shops = numbers["scalars"], numbers["num_shops"]
            for key in file.keys():  # noqa: SIM118 (no mapping)
                part, name, *shop = key.split("/", 2)
                place = shops.setdefault(shop[0], {}) if shop else parts[part]
                place[name] = file.get_tensor(key)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path} holds no state of an aggregator ({error}); run it again") from error
    adapter, tensors, control = (parts[each] for each in (_ADAPTER, _TENSORS, _CONTROL))
    return AggregatorState(adapter or None, tensors, shops, scalars, control, num_shops)
