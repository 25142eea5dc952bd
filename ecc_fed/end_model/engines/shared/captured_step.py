"""A step as a CUDA graph: hundreds of launches replayed as one.

What the step reads must lie at the same addresses at every replay: new tokens are copied into the tensors that it was
captured with. A replay allocates nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Step = Callable[[], Tensor]
# Makes a step that is run often from one that may be run twice without harm.
Capture = Callable[[Step], Step]


def as_it_is(step: Step) -> Step:
    """No capture: every run computes the step."""
    return step


class GraphCapture:
    """Captures steps into one pool of memory; what one returns must be read before another is run."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step) -> Step:
        """The step, captured; its result is overwritten by the next run."""
        # What libraries set up at their first use must lie behind, and on another stream than the default one.
        stream: Any = torch.cuda.Stream
        side = stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on with work of their own on the GPU, as a teacher on this machine does.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            logits = step()

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay
