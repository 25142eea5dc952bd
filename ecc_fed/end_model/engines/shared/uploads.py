"""Small arrays on their way to a device, without waiting for what the device still has to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def upload(
    values: npt.NDArray[Any] | Sequence[float], device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """The values as a tensor on `device`; on a CPU an array's memory is shared.

    A copy from memory that may be paged out would wait for the GPU's queue to run dry, once for each tensor.
    """
    tensor = torch.from_numpy(values) if isinstance(values, np.ndarray) else torch.tensor(values, dtype=dtype)
    if dtype is not None:
        tensor = tensor.to(dtype)
    return tensor.to(device) if device.type != "cuda" else tensor.pin_memory().to(device, non_blocking=True)
