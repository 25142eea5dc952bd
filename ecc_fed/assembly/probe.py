"""The probe of a run's teacher, from its config."""

from __future__ import annotations

from dataclasses import replace

from ecc_fed.assembly.build import build_teacher, check_prices
from ecc_fed.assembly.schema import RunConfig
from ecc_fed.assembly.targets import locate
from ecc_fed.core.protocols import Teacher
from ecc_fed.teacher.gateway.budget import Spending
from ecc_fed.teacher.gateway.probe import KeepProbe, probe

# In this process, and with torch to import: nothing to probe, and no second to lose.
LOCAL_TEACHER = "ecc_fed.teacher.providers.local_transformers.LocalTransformersTeacher"


def probe_teacher(config: RunConfig, keep: KeepProbe) -> None:
    """Finds out, before a run, whether a remote teacher is there.

    Args:
        config: the run's.
        keep: called before an attempt leaves and after it, as `probe` says.

    Raises:
        ConfigError: a setting out of range, no key or package for it, or a limit on cost without prices.
        UserError: it does not answer.
    """
    if config.teacher.get("_target_") == LOCAL_TEACHER or not getattr(
        locate(config.teacher, "teacher", Teacher), "remote", False
    ):
        return
    teacher = build_teacher(config)
    check_prices(config.gateway, teacher)
    probe(teacher, config.gateway, keep)


def without(config: RunConfig, spent: Spending) -> RunConfig:
    """The config with what is left of its budget."""
    gateway = config.gateway

    def left(limit: float | None, used: float) -> float | None:
        return None if limit is None else max(0, limit - used)

    requests, tokens = left(gateway.max_requests, spent.requests), left(gateway.max_tokens, spent.tokens)
    return replace(
        config,
        gateway=replace(
            gateway,
            max_requests=None if requests is None else int(requests),
            max_tokens=None if tokens is None else int(tokens),
            max_cost_usd=left(gateway.max_cost_usd, spent.cost_usd),
        ),
    )
