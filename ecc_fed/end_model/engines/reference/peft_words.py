"""An adapter's settings as peft's own object."""

from __future__ import annotations

from peft import PeftConfig, get_peft_config

from ecc_fed.end_model.adapters.settings import AdapterSettings


def peft_config(settings: AdapterSettings) -> PeftConfig:
    """peft's own object; sizes that belong to the base are left to peft."""
    config: PeftConfig = get_peft_config(settings.peft_words())
    return config
