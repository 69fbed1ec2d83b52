"""Its presence puts this folder on the path, so that tests anywhere below can import `fakes`."""

import pytest


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    """Every device that torch finds here; the others are skipped, and say why."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device here")
    return request.param
