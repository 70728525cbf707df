import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import ConfigError
from thalweg.nn.masking import num_masked, random_masks, take_patches

WORD = 2**64


def slow_splitmix64(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) % WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


def slow_masked(key: int, group: int, step: int, num_patches: int, count: int) -> list[int]:
    scores = []
    for patch in range(num_patches):
        state = key
        for counter in (group, step, patch):
            state = slow_splitmix64(state) ^ (counter + 1)
        scores.append(slow_splitmix64(state))
    return sorted(sorted(range(num_patches), key=lambda patch: scores[patch])[:count])


@pytest.mark.parametrize(
    ("num_patches", "ratio", "expected"),
    [(94, 0.4, 37), (76, 0.4, 30), (94, 0.5, 47), (76, 0.5, 38), (100, 0.29, 29), (5, 0.01, 1), (5, 0.99, 4)],
)
def test_mask_counts_are_exact(num_patches: int, ratio: float, expected: int) -> None:
    assert num_masked(num_patches, ratio) == expected


@given(st.integers(2, 500), st.floats(0.001, 0.999))
def test_every_ratio_masks_something_and_leaves_something(num_patches: int, ratio: float) -> None:
    assert 1 <= num_masked(num_patches, ratio) <= num_patches - 1


def test_a_single_patch_cannot_be_masked() -> None:
    with pytest.raises(ConfigError, match="at least 2 patches, got 1"):
        num_masked(1, 0.5)


@given(
    keys=st.lists(st.integers(0, WORD - 1), min_size=1, max_size=3),
    groups=st.integers(1, 3),
    steps=st.integers(1, 4),
    patches=st.integers(2, 12),
    data=st.data(),
)
def test_masks_follow_the_slow_definition(
    keys: list[int], groups: int, steps: int, patches: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, patches - 1))
    keep, masked = random_masks(np.array(keys, np.uint64), shape=(groups, steps, patches), num_masked=count)
    assert masked.shape == (len(keys), groups, steps, count)
    for sample, key in enumerate(keys):
        for group in range(groups):
            for step in range(steps):
                expected = slow_masked(key, group, step, patches, count)
                assert masked[sample, group, step].tolist() == expected
                assert keep[sample, group, step].tolist() == sorted(set(range(patches)) - set(expected))


def test_decoded_patches_are_some_of_the_masked_ones_drawn_at_random() -> None:
    keys = np.arange(500, dtype=np.uint64)
    keep, masked = random_masks(keys, shape=(1, 4, 10), num_masked=6)
    same, decoded = random_masks(keys, shape=(1, 4, 10), num_masked=6, num_decoded=2)
    np.testing.assert_array_equal(keep, same)
    assert decoded.shape == (500, 1, 4, 2)
    for few, all_ in zip(decoded.reshape(-1, 2), masked.reshape(-1, 6), strict=True):
        assert set(few) <= set(all_) and few[0] < few[1]
    share = np.bincount(decoded.ravel(), minlength=10) / (500 * 4)
    # Standard deviation of a share of 2/10 over 2,000 draws: 0.009.
    np.testing.assert_allclose(share, 0.2, atol=0.05)


def test_no_more_is_decoded_than_is_masked() -> None:
    _, decoded = random_masks(np.arange(3, dtype=np.uint64), shape=(1, 1, 5), num_masked=2, num_decoded=4)
    assert decoded.shape[-1] == 2


def test_masks_of_a_sample_do_not_depend_on_its_batch() -> None:
    keys = np.arange(40, dtype=np.uint64)
    _, together = random_masks(keys, shape=(2, 5, 20), num_masked=8)
    _, alone = random_masks(keys[[17]], shape=(2, 5, 20), num_masked=8)
    _, reordered = random_masks(keys[::-1], shape=(2, 5, 20), num_masked=8)
    np.testing.assert_array_equal(together[17], alone[0])
    np.testing.assert_array_equal(together[::-1], reordered)


def test_keys_groups_and_steps_have_masks_of_their_own() -> None:
    _, masked = random_masks(np.arange(30, dtype=np.uint64), shape=(3, 10, 30), num_masked=15)
    masks = masked.reshape(-1, 15)
    assert len(np.unique(masks, axis=0)) == len(masks)


def test_every_patch_is_masked_equally_often() -> None:
    _, masked = random_masks(np.arange(2000, dtype=np.uint64), shape=(1, 10, 16), num_masked=4)
    share = np.bincount(masked.ravel(), minlength=16) / (2000 * 10)
    # Standard deviation of a share of 1/4 over 20,000 draws: 0.003.
    np.testing.assert_allclose(share, 0.25, atol=0.015)


def test_masks_of_neighbouring_steps_are_unrelated() -> None:
    _, masked = random_masks(np.arange(2000, dtype=np.uint64), shape=(1, 2, 16), num_masked=4)
    hits = np.zeros((2000, 2, 16))
    np.put_along_axis(hits, masked[:, 0], 1, axis=-1)
    both = (hits[:, 0] * hits[:, 1]).mean()
    assert both == pytest.approx(1 / 16, abs=0.005)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))
def test_taken_patches_are_those_of_their_step(batch: int, steps: int, patches: int, features: int) -> None:
    values = torch.rand(batch, steps, patches, features)
    indices = torch.randint(patches, (batch, steps, 2))
    taken = take_patches(values, indices)
    for b in range(batch):
        for t in range(steps):
            for k in range(2):
                assert torch.equal(taken[b, t, k], values[b, t, int(indices[b, t, k])])
