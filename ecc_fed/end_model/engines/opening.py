"""Opens a base with the engine that fits: the one place that chooses between engines."""

from __future__ import annotations

import logging
from typing import Literal

from ecc_fed.core.protocols import EndModel
from ecc_fed.end_model.adapters.settings import AdapterSettings
from ecc_fed.end_model.base import load_base
from ecc_fed.end_model.engines.shared.engine import SharedEngine, serves
from ecc_fed.end_model.engines.shared.support import UnsupportedBase
from ecc_fed.end_model.settings import EndModelSettings

_LOG = logging.getLogger(__name__)


def open_engine(
    settings: EndModelSettings,
    adapter: AdapterSettings,
    engine: Literal["shared", "peft"] = "shared",
    system: str | None = None,
) -> EndModel:
    """Loads a base once and gives it to an engine.

    Args:
        settings: which base, how it lies in memory, and bounds in tokens.
        adapter: the adapters' method and sizes.
        engine: "shared" serves all adapters in one batch, and leaves bases and adapters that it does
            not support to "peft", which takes any, one job after another. That is logged, and stands
            in the engine's `fallback_reason`.
        system: what is said to the model before every dialogue; None: nothing.

    Raises:
        ModelError: the base cannot be loaded, or cannot bear the adapter.
        ConfigError: a quantization or device that this machine lacks.
    """
    given = settings.path, settings.quantization, settings.device, system, settings.sha256
    base = load_base(*given, engine == "shared" and serves(adapter))
    fallback_reason = None
    if engine == "shared":
        try:
            return SharedEngine(base, adapter, settings)
        except UnsupportedBase as reason:
            fallback_reason = str(reason)
            _LOG.warning("%s is served by the peft engine, one job after another: %s", settings.path, reason)
    if base.weights_alone:
        base = load_base(*given)
    from ecc_fed.end_model.engines.reference.engine import PeftEngine  # seconds that the shared engine spares

    return PeftEngine(base, adapter, settings, fallback_reason)
