"""Where a round's updates started from, as a server knows it that holds no base."""

from __future__ import annotations

from ecc_fed.core.errors import ConfigError
from ecc_fed.core.records import AdapterState
from ecc_fed.end_model.adapters.names import MAGNITUDE
from ecc_fed.end_model.adapters.tensors import fresh_adapter


def started_from(strategy: str, sent_up: AdapterState, before: AdapterState, adapter_seed: int) -> AdapterState:
    """What each tensor that goes up was before the round: the server's own, or as every shop began.

    Args:
        strategy: whose name stands in the message.
        sent_up: any update of the round; its names and shapes count.
        before: the server's adapter; empty before the first aggregate.
        adapter_seed: of the fresh adapter that every shop starts from.

    Raises:
        ConfigError: DoRA's magnitudes, of which the server does not know where they started.
    """
    unknown = {name: tensor.shape for name, tensor in sent_up.items() if name not in before}
    magnitude = next((name for name in unknown if name.endswith(MAGNITUDE)), None)
    if magnitude is not None:
        raise ConfigError(
            f"strategy {strategy} must know what {magnitude} started from: DoRA's magnitudes start as the norms of the "
            "base, which the server does not hold. Take adapter=lora, or strategy=fedavg."
        )
    fresh = fresh_adapter(unknown, adapter_seed)
    return {name: fresh[name] if name in fresh else before[name] for name in sent_up}
