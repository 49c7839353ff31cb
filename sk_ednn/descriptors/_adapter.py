"""Descriptors of other libraries, and functions of yours."""

from numbers import Integral

import numpy as np

from .._utils.stored import stored
from ._base import AbstractDescriptor, checked_array


@stored("DescriptorFunction")
class DescriptorFunction(AbstractDescriptor):
    """Describe atoms by any function of structures.

    Parameters
    ----------
    function : callable
        Takes `Structures`; returns an array of shape (n_atoms, n_features), or (n_atoms,
        *n_features), with a row for each atom in their order. The structures can be iterated over;
        each has numbers, positions, cell and pbc. Define the function in a module, so that models
        with it can be stored and sent to workers.

    n_features : int or tuple of int
        Shape of the result for one atom.

    cutoff : float, in Å
        Range of the function. Atoms farther away must not change a row.

    pull_function : callable, default=None
        Takes `Environments` and gradients (n_centers, *n_features); returns dE/dvectors,
        (n_pairs, 3).
        None: energies only, no forces.

    push_function : callable, default=None
        Takes `Environments` and tangents (n_pairs, 3); returns the change of the values,
        (n_centers, *n_features). None: forces cannot be learned by linear models.

    species : tuple of str or int, default=None
        The elements that neighbours may be. None: any that the function accepts, until
        `with_species` sets them.

    Examples
    --------
    Coordination numbers, say:

    >>> import numpy as np
    >>> from ase.build import bulk, graphene
    >>> from sk_ednn.descriptors import DescriptorFunction
    >>> from sk_ednn.structures import Structures, neighbor_pairs
    >>> def coordination(structures):
    ...     return neighbor_pairs(structures, 1.8).counts[:, None]
    >>> descriptor = DescriptorFunction(coordination, n_features=1, cutoff=1.8)
    >>> structures = Structures.of([bulk("C"), graphene(vacuum=5.0)])
    >>> descriptor.values(neighbor_pairs(structures, 1.8)).ravel()
    array([4., 4., 3., 3.])

    A descriptor of DScribe, which has no derivatives of periodic structures::

        soap = SOAP(species=["Si", "C"], r_cut=5.0, n_max=8, l_max=6, periodic=True)


        def describe(structures):
            return np.vstack([soap.create(ase.Atoms(**s._asdict())) for s in structures])


        DescriptorFunction(describe, soap.get_number_of_features(), cutoff=5.0)

    One of featomic, with all pairs of species named, so that a batch without one has as many
    columns::

        calculator = featomic.SoapPowerSpectrum(**hypers)  # with a cutoff radius of 5 Å
        names = ["neighbor_1_type", "neighbor_2_type"]
        pairs = metatensor.Labels(names, np.array([[6, 6], [6, 14], [14, 14]]))


        def describe(structures):
            atoms = [ase.Atoms(**s._asdict()) for s in structures]
            spectrum = calculator.compute(atoms).keys_to_samples("center_type")
            block = spectrum.keys_to_properties(pairs).block()
            order = np.lexsort((block.samples["atom"], block.samples["system"]))
            return block.values[order]

    `PowerSpectrum` is the same kind of descriptor, with both derivatives.
    """

    def __init__(
        self, function, n_features, cutoff, pull_function=None, push_function=None, species=None
    ):
        self.function = function
        self.n_features = n_features
        self.cutoff = cutoff
        self.pull_function = pull_function
        self.push_function = push_function
        self.species = species

    @property
    def tile_shape(self):
        """Shape of the values of one atom: (n_features,)."""
        shape = self.n_features
        shape = (shape,) if isinstance(shape, Integral) else tuple(shape)
        if not shape or not all(isinstance(n, Integral) and n > 0 for n in shape):
            raise ValueError(
                "n_features must be a positive integer, or a tuple of them. "
                f"Got {self.n_features!r}."
            )
        return shape

    def _check_known(self, numbers):
        if self.species is not None:
            super()._check_known(numbers)

    def values(self, environments):
        """Describe each centre: see `AbstractDescriptor.values`."""
        self._check_environments(environments)
        structures = environments.structures
        values = self.function(structures)
        values = checked_array(
            values, (structures.n_atoms, *self.tile_shape), f"What {self._name()} returns"
        )
        wrong = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if wrong.size:
            raise ValueError(
                f"{self._name()} returned values that are not finite, first for "
                f"{structures.place(wrong[0])}."
            )
        return values[environments.atoms]

    def pull(self, environments, gradients):
        """Return dE/dvectors from dE/dvalues, by `pull_function`."""
        self._check_environments(environments)
        if self.pull_function is None:
            raise self._no_derivative("pull_function", "dE/dvectors from dE/dvalues")
        shape = (environments.n_centers, *self.tile_shape)
        pulled = self.pull_function(environments, checked_array(gradients, shape, "gradients"))
        return checked_array(pulled, (environments.n_pairs, 3), "What pull_function returns")

    def push(self, environments, tangents):
        """Return the change of values with that of vectors, by `push_function`."""
        self._check_environments(environments)
        if self.push_function is None:
            raise self._no_derivative("push_function", "the change of values with that of vectors")
        tangents = checked_array(tangents, (environments.n_pairs, 3), "tangents")
        shape = (environments.n_centers, *self.tile_shape)
        pushed = self.push_function(environments, tangents)
        return checked_array(pushed, shape, "What push_function returns")

    def _name(self):
        return getattr(self.function, "__name__", type(self.function).__name__)

    def _no_derivative(self, parameter, meaning):
        return NotImplementedError(
            f"{self._name()} has no derivative, so there are no forces and no stress. Give "
            f"DescriptorFunction {parameter}=, which returns {meaning}, or take a descriptor that "
            "has derivatives, such as PowerSpectrum."
        )
