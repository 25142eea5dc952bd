import pytest
import torch

from ecc_fed.core.errors import ConfigError
from ecc_fed.models.device import choose_device


def see_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("device", "gpus", "chosen"),
    [("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cpu", 2, "cpu"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_auto_takes_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, chosen: str
) -> None:
    see_gpus(monkeypatch, gpus)
    assert choose_device(device, "end model") == torch.device(chosen)


@pytest.mark.parametrize(
    ("device", "gpus", "said"),
    [
        ("tpu", 1, r"device='tpu' of the end model is unknown: take auto, cpu, cuda or cuda:N"),
        ("cuda:", 1, "unknown"),
        ("meta", 1, "unknown"),
        ("cuda", 0, r"device=cuda of the end model, but torch sees no GPU here: take auto or cpu"),
        ("cuda:0", 0, "no GPU"),
        ("cuda:2", 2, r"torch sees 2 GPUs here, counted from 0"),
    ],
)
def test_what_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, device: str, gpus: int, said: str) -> None:
    see_gpus(monkeypatch, gpus)
    with pytest.raises(ConfigError, match=said):
        choose_device(device, "end model")
