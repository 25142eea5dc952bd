"""An aggregator's state as one file: safetensors, with the scalars in its header."""

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
    write_bytes(path, save(flat, {"scalars": json.dumps(dict(state.scalars)), "num_shops": str(state.num_shops)}))


def load_state(path: Path) -> AggregatorState:
    """Reads what `save_state` wrote, bit for bit.

    Raises:
        RunDirectoryError: the file is missing or broken.
    """
    parts: dict[str, dict[str, Array]] = {_ADAPTER: {}, _TENSORS: {}, _CONTROL: {}}
    shops: dict[str, dict[str, Array]] = {}
    try:
        with safe_open(path, "numpy") as file:
            scalars, num_shops = json.loads(file.metadata()["scalars"]), int(file.metadata()["num_shops"])
            for key in file.keys():  # noqa: SIM118 (no mapping)
                part, name, *shop = key.split("/", 2)
                place = shops.setdefault(shop[0], {}) if shop else parts[part]
                place[name] = file.get_tensor(key)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path} holds no state of an aggregator ({error}); run it again") from error
    return AggregatorState(parts[_ADAPTER] or None, parts[_TENSORS], shops, scalars, parts[_CONTROL], num_shops)
