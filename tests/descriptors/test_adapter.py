import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sk_ednn.descriptors import DescriptorFunction, SphericalExpansion
from sk_ednn.structures import neighbor_pairs
from tests.descriptors._cases import SPECIES, batch

CUTOFF = 3.0
EXPANSION = SphericalExpansion(CUTOFF, 2, 1, species=SPECIES)


def describe(structures):
    return EXPANSION.values(neighbor_pairs(structures, CUTOFF))


def pull(environments, gradients):
    return EXPANSION.pull(environments, gradients)


def push(environments, tangents):
    return EXPANSION.push(environments, tangents)


@pytest.fixture
def environments(rng):
    return neighbor_pairs(batch(rng), CUTOFF)


def test_a_function_is_a_descriptor(rng, environments):
    descriptor = DescriptorFunction(describe, (6, 4), CUTOFF, pull, push)
    assert descriptor.tile_shape == EXPANSION.tile_shape
    some = environments.restricted([7, 2, 4])
    gradients = rng.normal(size=(3, 6, 4))
    for copy in (descriptor, clone(descriptor), pickle.loads(pickle.dumps(descriptor))):
        np.testing.assert_array_equal(copy.values(some), EXPANSION.values(some))
        np.testing.assert_array_equal(copy.pull(some, gradients), EXPANSION.pull(some, gradients))
        np.testing.assert_array_equal(
            copy.push(some, some.vectors), EXPANSION.push(some, some.vectors)
        )


def test_without_derivatives_the_error_names_the_remedy(environments):
    descriptor = DescriptorFunction(describe, (6, 4), CUTOFF)
    gradients = descriptor.values(environments)
    with pytest.raises(NotImplementedError, match=r"describe has no derivative.*pull_function="):
        descriptor.pull(environments, gradients)
    with pytest.raises(NotImplementedError, match=r"push_function=.*PowerSpectrum"):
        descriptor.push(environments, environments.vectors)


def test_species_are_checked_once_they_are_known(environments):
    descriptor = DescriptorFunction(describe, (6, 4), CUTOFF)
    descriptor.values(environments)
    with pytest.raises(ValueError, match="has the species C, but the structures contain B, N"):
        descriptor.with_species([6]).values(environments)
    assert descriptor.with_species([7, 5, 6]).values(environments).any()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda s: np.zeros((s.n_atoms, 3)), r"What <lambda> returns must be of shape"),
        (lambda s: np.zeros((len(s), 6, 4)), "must be of shape"),
        (lambda s: np.full((s.n_atoms, 6, 4), np.nan), "not finite, first for structure 0, atom 0"),
    ],
)
def test_what_functions_return_is_checked(environments, function, words):
    with pytest.raises(ValueError, match=words):
        DescriptorFunction(function, (6, 4), CUTOFF).values(environments)


@pytest.mark.parametrize("n_features", [0, (), (3, 0), (2.5,), -1])
def test_n_features_must_be_positive(environments, n_features):
    with pytest.raises(ValueError, match="n_features must be a positive integer"):
        DescriptorFunction(describe, n_features, CUTOFF).values(environments)


def test_environments_that_reach_less_far_are_refused(environments):
    with pytest.raises(ValueError, match="cutoff of DescriptorFunction is 5 Å"):
        DescriptorFunction(describe, (6, 4), 5.0).values(environments)
