"""Declared, not measured: what a reply takes on its way, by whom it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ecc_fed.core.ranges import require_number
from ecc_fed.core.seeding import derive_rng

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Network:
    """A device, its line and a cloud.

    | symbol | attribute | unit |
    |---|---|---|
    | r, round trip | `rtt_milliseconds` (the median), `rtt_spread` (sigma of its logarithm) | ms, 1 |
    | b | `up_megabits`, `down_megabits` | Mbit/s |
    | w, until its first token | `cloud_seconds` | s |
    | v | `cloud_tokens_per_second`, `device_tokens_per_second` | 1/s |

    A Chinese character is taken as a token. A device takes n / v for a reply of n characters; the cloud
    r + up / b + w + n / v + down / b, with r lognormal.

    Raises:
        ConfigError: a value out of range.
    """

    rtt_milliseconds: float = 60.0
    rtt_spread: float = 0.5
    up_megabits: float = 10.0
    down_megabits: float = 50.0
    cloud_seconds: float = 0.6
    cloud_tokens_per_second: float = 60.0
    device_tokens_per_second: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rtt_milliseconds", "rtt_spread", "cloud_seconds"):
            require_number(name, getattr(self, name), 0)
        for name in ("up_megabits", "down_megabits", "cloud_tokens_per_second", "device_tokens_per_second"):
            require_number(name, getattr(self, name), 1e-6)

    def device_seconds(self, characters: Sequence[int]) -> Values:
        """(queries,) seconds until the device's whole reply is there."""
        return np.asarray(characters, dtype=np.float64) / self.device_tokens_per_second

    def cloud_reply_seconds(self, characters: Sequence[int], up_bytes: float, down_bytes: float) -> Values:
        """(queries,) seconds until the cloud's is; the draw of query i is the same whoever else is asked."""
        normal = derive_rng(self.seed, "network", "rtt").normal(size=len(characters))
        rtt = self.rtt_milliseconds / 1e3 * np.exp(self.rtt_spread * normal)
        sent = 8 * (up_bytes / self.up_megabits + down_bytes / self.down_megabits) / 1e6
        seconds: Values = rtt + sent + self.cloud_seconds
        return seconds + np.asarray(characters, dtype=np.float64) / self.cloud_tokens_per_second
