import pytest
import torch

from thalweg.nn.contrastive.unit_length import UnitLength, unit_length


def test_vectors_keep_their_direction_and_have_length_one() -> None:
    vectors = torch.tensor([[[3.0, 4.0], [0.0, -2.0]], [[0.0, 0.0], [1e-3, 0.0]]])
    expected = [[[0.6, 0.8], [0.0, -1.0]], [[0.0, 0.0], [1.0, 0.0]]]
    torch.testing.assert_close(unit_length(vectors), torch.tensor(expected))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_squares_may_leave_the_range_of_half_precision(dtype: torch.dtype) -> None:
    vectors = torch.tensor([[3e4, 4e4]]).to(dtype)
    assert unit_length(vectors).dtype == torch.float32
    torch.testing.assert_close(unit_length(vectors), torch.tensor([[0.6, 0.8]]), rtol=1e-2, atol=0)
    found = UnitLength()(vectors)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), torch.tensor([[0.6, 0.8]]), rtol=1e-2, atol=0)
