"""Batches of fields."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_ednn.exceptions import TilingError
from sk_ednn.fields._fields import check_fields, is_list_of_fields


def objects(fields):
    array = np.empty(len(fields), dtype=object)
    array[:] = fields
    return array


def fields_of(batch):
    """Return the fields of a checked batch one by one, in the order they were given."""
    out = [None] * batch.n_samples
    for stack in batch.stacks:
        for place, field in zip(stack.samples, stack.values, strict=True):
            out[place] = field
    return out


class Container:
    """Not an array, but something that can become one."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)


A, B, C = np.arange(6.0).reshape(2, 3), np.ones((4, 3)), np.zeros((2, 3))


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (np.ones((2, 3)), False),
        (np.ones((2, 3, 4)), False),
        ([[1, 2], [3, 4]], False),  # a list of lists is an array, as everywhere in scikit-learn
        ([A, B], True),
        ([A, C], True),  # of equal lengths too
        ((A, B), True),
        (objects([A, B]), True),
        (np.array([[1, 2], [3, 4]], dtype=object), False),
        ([], False),
        ([1.0, 2.0], False),
        ([np.float64(1), np.float64(2)], False),
        (Container([[1, 2]]), False),
    ],
)
def test_lists_of_arrays_are_lists_of_fields(X, expected):
    assert is_list_of_fields(X) is expected


@pytest.mark.parametrize("kind", [list, tuple, objects])
def test_fields_of_a_list_are_stacked_by_shape_and_keep_their_places(kind):
    batch = check_fields(kind([A, B, C, B + 1]))
    assert batch.ragged
    assert (batch.n_samples, batch.ndim, len(batch.stacks)) == (4, 2, 2)
    for field, given_ in zip(fields_of(batch), [A, B, C, B + 1], strict=True):
        np.testing.assert_array_equal(field, given_)


def test_an_array_is_one_stack_and_no_copy():
    X = np.ones((3, 4, 5))
    batch = check_fields(X)
    assert not batch.ragged
    assert len(batch.stacks) == 1
    assert np.shares_memory(batch.stacks[0].values, X)
    assert check_fields(batch) is batch


def test_a_list_of_equal_fields_is_a_list_still():
    batch = check_fields([A, C])
    assert batch.ragged
    assert len(batch.stacks) == 1


def test_types_are_kept_and_joined():
    batch = check_fields([A.astype(np.int8), B.astype(np.float32), C.astype(bool)])
    assert [stack.values.dtype for stack in batch.stacks] == [np.int8, np.float32, bool]
    assert batch.dtype == np.float32


@pytest.mark.parametrize(
    "X",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=object),
        Container([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 4]], order="F"),
    ],
)
def test_what_can_be_an_array_of_numbers_is_one(X):
    batch = check_fields(X)
    assert not batch.ragged
    np.testing.assert_array_equal(batch.stacks[0].values, [[1, 2], [3, 4]])


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=8).flatmap(
        lambda lengths: st.tuples(st.just(lengths), st.permutations(range(len(lengths))))
    ),
    st.integers(0, 8),
)
def test_taken_samples_stand_in_the_order_asked_for(case, n):
    lengths, order = case
    fields = [np.full(length, float(index)) for index, length in enumerate(lengths)]
    indices = order[: max(1, n)]
    for X in (fields, np.arange(len(lengths) * 2.0).reshape(-1, 2)):
        taken = check_fields(X).take(indices)
        assert taken.n_samples == len(indices)
        for field, index in zip(fields_of(taken), indices, strict=True):
            np.testing.assert_array_equal(field, X[index])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        ([], r"0 sample\(s\)"),
        (np.empty((0, 3)), r"0 sample\(s\)"),
        (np.ones(3), r"an array of shape \(n_samples, \*field_shape\); got shape \(3,\)"),
        (np.array(1.0), r"got shape \(\)"),
        ("fields.npy", r"got the name 'fields.npy'. Read the file, as by numpy.load"),
        (Path("fields.npy"), r"got the name 'fields.npy'. Read the file, as by numpy.load"),
        ({"X": A, "y": A}, r"got a dict of 'X', 'y'. Choose one of its arrays, such as \['X'\]"),
        (A * 1j, "Complex data not supported: .* got dtype complex128. .* as two channels"),
        ([A, np.full((2, 3), np.nan)], r"Input X\[1\] contains NaN"),
        (np.full((2, 3), np.inf), "Input X contains infinity"),
        ([A, np.empty((0, 3))], r"0 sample\(s\)"),
        ([A, A[0]], r"must have one dimension: X\[0\] has shape \(2, 3\), X\[1\] has shape \(3,\)"),
        ([A, "up"], r"a list of names, X\[1\] is 'up'"),
        ([A, np.float64(1)], r"arrays only: X\[0\] is an array, X\[1\] is float64"),
        (objects([A, None]), r"list of arrays; X\[1\] is None\."),
    ],
)
def test_what_is_no_batch_of_fields_is_refused(X, words):
    with pytest.raises(ValueError, match=words):
        check_fields(X)


def test_errors_of_lists_are_tiling_errors():
    with pytest.raises(TilingError):
        check_fields([A, A[0]])
