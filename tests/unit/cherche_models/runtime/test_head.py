from __future__ import annotations

import torch

from cherche_models.runtime.head import hide_padding, max_logits


def naive(hidden: torch.Tensor, mask: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
    logits = hidden @ decoder.T
    return logits.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    mask = torch.arange(6) < torch.tensor([[6], [1], [4]])
    return torch.randn(3, 6, 8, dtype=torch.float64), mask, torch.randn(23, 8, dtype=torch.float64)


def test_padding_never_wins() -> None:
    hidden, mask, decoder = batch()
    hidden[~mask] = 1e6
    torch.testing.assert_close(max_logits(hide_padding(hidden, mask), decoder, chunk=5), naive(hidden, mask, decoder))


def test_gradients_are_those_of_the_plain_way() -> None:
    hidden, mask, decoder = batch()
    grown = []
    for way in (lambda h, w: max_logits(hide_padding(h, mask), w, chunk=5), lambda h, w: naive(h, mask, w)):
        leaves = hidden.clone().requires_grad_(), decoder.clone().requires_grad_()
        torch.log1p(torch.relu(way(*leaves))).pow(2).sum().backward()
        grown.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*grown, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_by_finite_differences() -> None:
    hidden, _, decoder = batch()
    torch.autograd.gradcheck(max_logits, (hidden.requires_grad_(), decoder.requires_grad_(), 5))


def test_no_tensor_of_batch_length_vocabulary() -> None:
    hidden, decoder = torch.randn(4, 16, 8), torch.randn(5000, 8)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    with torch.inference_mode(), Watch():
        max_logits(hidden, decoder, chunk=500)
    assert largest == 4 * 16 * 500
