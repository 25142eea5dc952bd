"""Opens a base with the engine that fits: the one place that chooses between engines."""

from __future__ import annotations

import logging
from typing import Literal

from ecc_fed.core.protocols import EndModel
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared.engine import SharedEngine
from ecc_fed.end_model.engines.shared.support import UnsupportedBase
from ecc_fed.end_model.limits import TokenLimits

_LOG = logging.getLogger(__name__)


def open_engine(
    path: str,
    adapter: AdapterSettings,
    limits: TokenLimits | None = None,
    quantization: str = "none",
    device: str = "auto",
    engine: Literal["shared", "peft"] = "shared",
) -> EndModel:
    """Loads a base once and gives it to an engine.

    Args:
        path: a local model folder or a hub id.
        adapter: the adapters' method and sizes.
        limits: bounds in tokens; None takes the defaults.
        quantization: none, bf16, int8 or nf4.
        device: auto, cpu or cuda.
        engine: "shared" serves all adapters in one batch, and leaves bases and adapters that it does
            not support to "peft", which takes any, one job after another. That is logged, and stands
            in the engine's `fallback_reason`.

    Raises:
        ModelError: the base cannot be loaded, or cannot bear the adapter.
        ConfigError: an unknown quantization or device, or one that this machine lacks.
    """
    limits = limits or TokenLimits()
    base = load_base(path, quantization, device)
    fallback_reason = None
    if engine == "shared":
        try:
            return SharedEngine(base, adapter, limits)
        except UnsupportedBase as reason:
            fallback_reason = str(reason)
            _LOG.warning("%s is served by the peft engine, one job after another: %s", path, reason)
    from ecc_fed.end_model.engines.reference.engine import PeftEngine  # seconds that the shared engine spares

    return PeftEngine(base, adapter, limits, fallback_reason)
