"""Fields of atoms: a Gaussian well at each, on a grid of pixels (Mills et al. 2019, eq. 2)."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.stored import stored
from ..fields._sources import as_array
from ..structures._cells import angles, check_frames, cosines
from ..structures._elements import symbol
from ..structures._structure import gather
from ._drawing import draw_fields, gradients_of
from ._gradients import with_strain
from ._lattice import warn_of_open_edges
from ._parameters import (
    checked_slab,
    distinct_species,
    grid_shapes,
    heights_by_number,
    require_drawable,
    spacing_per_axis,
)


@stored("GaussianRasterizer")
class GaussianRasterizer(TransformerMixin, BaseEstimator):
    """Draw structures as fields, with a Gaussian at each atom.

    The field of a structure with atoms at r_a is (Mills et al. 2019, eq. 2)::

        V(r) = Σ_a Z_a exp(-|r - r_a|² / (2 width²)),        field[i, j] = V(i · sx, j · sy)

    periodic in x (axis 0) and y (axis 1), for a cell of ``(nx · sx, ny · sy)``. The end point of
    the period is not repeated. The distance lies in the plane: a third coordinate is not used.
    Other planes, grids in three dimensions, slanted cells, whose pixels lie along their edges,
    and axes that do not repeat are drawn by the same equation.

    Parameters
    ----------
    spacing : float or one float per axis, in Å
        Distance between neighbouring pixels, along all axes or along each. A part of
        whatever model is fitted to the fields: cells that are not a whole number of pixels (to a
        relative 1e-6) are refused, not stretched.

    width : float, in Å
        Standard deviation of a Gaussian. A well is known by its pixels as long as the width is
        no less than the spacing; below about half of it, the sum over a field depends on where
        atoms lie between pixels.

    weights : "number" or mapping of species to float, default="number"
        Height of the Gaussian of each species: the atomic number Z as in the paper, or one's own
        as in ``{"C": 1.0, "N": -1.0}``. Species are symbols or atomic numbers.

    channels : None, "species" or sequence of species, default=None
        ``None`` draws all atoms in one field. A sequence gives each of its species a channel of
        its own, ``"species"`` one to each species seen in `fit`, by atomic number.

    cutoff : float, default=6.0, in widths
        Gaussians are drawn out to this distance along the normal of each face of the cell, to the
        nearest pixel outwards: wherever the distance is within it, and somewhat beyond.
        What is left off is at most ``exp(-cutoff**2 / 2)`` of the height of an atom in any pixel
        (1.5e-8) and ``erfc(cutoff / sqrt(2))`` per axis of its sum over all pixels (4e-9 for two).

    plane : {"xy", "xz", "yz", "xyz"}, default="xy"
        The axes of the fields: a plane onto which atoms are projected, or all three. Of a cell
        given by edge vectors the two of these names span the plane, in any direction.

    slab : pair of float or None, default=None, in Å
        Where atoms may be along the axis that is projected away; one that is not is an error.
        Coordinates are taken as they are, not wrapped into the cell. ``None`` takes sheets, flat,
        buckled or rippled, and refuses what has atoms above one another, such as a crystal, two
        layers or a molecule; see Notes. With a slab, such as ``(-inf, inf)``, whatever lies in it
        is projected.

    adjust : float, default=0.0
        How far, relative to `spacing`, the pixels of a cell that is not a whole number of them may
        be stretched or squeezed to make it one. Widths stay what they are in Å. A model knows
        what is drawn: fit it to cells of many sizes, drawn so, or it takes a stretched pixel for
        one that is not. The calculator of such a model has a stress.

    multiple : int or pair of int, default=1
        The number of pixels along an axis is a multiple of this, such as the focus of a tiling.

    dtype : {"float32", "float64"}, default="float32"
        Of the fields. In float32, a pixel is within 1e-6 of the maximum of its field, unless
        hundreds of Gaussians overlap there.

    n_jobs : int or None, default=None
        Number of threads. ``None`` means 1 unless in a `joblib.parallel_config`. Their number
        changes no bit of the result. Used in two dimensions with right angles.

    Attributes
    ----------
    spacing_ : tuple of float, in Å
        Along each axis.

    angles_ : tuple of float, in degrees
        Between the edges of a pixel: one in a plane; in three dimensions those opposite to the
        first, second and third, as in cell parameters. Cells with others are refused, as other
        spacings are.

    periodic_ : tuple of bool
        Along which axes structures repeat (their ``pbc``); others are refused.

    channels_ : tuple of int, or None
        Atomic numbers, one a channel; ``None`` if there is no channel axis.

    Notes
    -----
    A structure is whatever has ``numbers`` (n_atoms,), ``positions`` (n_atoms, 2 or 3) in Å,
    ``cell`` and perhaps ``pbc`` (all axes repeat where nothing is said): an `ase.Atoms`, a
    `Structure`, a `Bunch`, a dict, or a tuple of these arrays. In place of a list of them, the path
    of a file that ASE reads (extxyz, POSCAR, CIF, a trajectory) stands for all its structures.

    Along axes that repeat, atoms outside of the cell are drawn where they belong inside. Where a
    cell is smaller than twice the cutoff, all periodic images within the cutoff are drawn and not
    the nearest only, so that a repeated cell always gives a repeated field. Along axes that do not
    repeat, nothing comes back at the other end: atoms outside are an error, and what of a Gaussian
    lies beyond the box is not in the field, of which a warning tells.

    A plane holds no heights. Without a slab, structures are refused that repeat along the normal
    with less than 4 Å of vacuum between, and those with two atoms within 3 Å in the plane that are
    steeper above one another than a slope of 0.7 (and 0.5 Å): a bond would look shorter by a fifth.

    Cells are orthogonal, flat and a whole number of pixels if they are to 1e-6, relative to their
    edges. Atoms are drawn where they are in the edges that are given, so that nothing jumps there.

    Only numbers, positions, cell and pbc count. Charges, magnetic moments, tags, momenta,
    constraints and whatever else a structure carries are not read.

    Time is linear in the number of atoms and the number of pixels: only the pixels near each atom
    are visited.

    References
    ----------
    Mills, Ryczko, Luchak, Domurad, Beeler, Tamblyn, "Extensive deep neural networks for
    transferring small scale learning to large scale systems", Chem. Sci. 2019, 10, 4129, eq. 2.

    Examples
    --------
    Each atom adds ``Z · 2π width² / (sx · sy)`` to the sum of a field: it is extensive.

    >>> import numpy as np
    >>> from sk_ednn.atoms import GaussianRasterizer
    >>> from sk_ednn.structures import Structure
    >>> pair = Structure([5, 7], [[0.0, 0.0], [1.45, 0.0]], [12.5, 13.0])
    >>> draw = GaussianRasterizer(spacing=(12.5 / 128, 13 / 128), width=0.2)
    >>> field = draw.fit_transform([pair])
    >>> field.shape, field.dtype
    ((1, 128, 128), dtype('float32'))
    >>> print(f"{field.sum() * (12.5 / 128) * (13 / 128) / (2 * np.pi * 0.2**2):.5f}")
    12.00000

    So it is in three dimensions and in slanted cells, with the volume of a pixel.

    >>> hexagonal = [[2.5, 0, 0], [-1.25, 1.25 * 3**0.5, 0], [0, 0, 6.6]]
    >>> nitride = Structure([5, 7], [[0, 0, 0], [0, 1.443, 0]], hexagonal)
    >>> draw = GaussianRasterizer(spacing=0.1, width=0.2, plane="xyz")
    >>> field = draw.fit_transform([nitride])
    >>> field.shape, [round(angle, 6) for angle in draw.angles_]
    ((1, 25, 25, 66), [90.0, 90.0, 120.0])
    >>> volume = 0.1**3 * np.sin(np.deg2rad(120))
    >>> print(f"{field.sum() * volume / (2 * np.pi * 0.2**2) ** 1.5:.5f}")
    12.00000
    """

    _parameter_constraints = {
        "spacing": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "width": [Interval(Real, 0, None, closed="neither")],
        "weights": [StrOptions({"number"}), HasMethods(["keys", "__getitem__"])],
        "channels": [StrOptions({"species"}), "array-like", None],
        "cutoff": [Interval(Real, 0, None, closed="neither")],
        "plane": [StrOptions({"xy", "xz", "yz", "xyz"})],
        "slab": ["array-like", None],
        "adjust": [Interval(Real, 0, 0.5, closed="left")],
        "multiple": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        spacing,
        width,
        *,
        weights="number",
        channels=None,
        cutoff=6.0,
        plane="xy",
        slab=None,
        adjust=0.0,
        multiple=1,
        dtype="float32",
        n_jobs=None,
    ):
        self.spacing = spacing
        self.width = width
        self.weights = weights
        self.channels = channels
        self.cutoff = cutoff
        self.plane = plane
        self.slab = slab
        self.adjust = adjust
        self.multiple = multiple
        self.dtype = dtype
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the structures; learn the species if channels ask for it.

        Parameters
        ----------
        X : sequence of structures, or path of a file of them

        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        TypeError
            If `X` is not a sequence of structures, such as when it is one structure.

        ValueError
            If a parameter is not what it must be, or a structure cannot be drawn.
        """
        spacing = spacing_per_axis(self.spacing, len(self.plane))
        atoms = gather(X, self.plane, checked_slab(self.slab, self.plane))
        cosine, periodic = cosines(atoms.vectors[0]), atoms.periodic[0]
        check_frames(atoms.vectors, atoms.periodic, cosine, periodic, self.plane)
        self.spacing_ = spacing
        self.angles_, self._cosines = angles(cosine), cosine
        self.periodic_ = tuple(periodic.tolist())
        if self.channels is None:
            self.channels_ = None
        elif isinstance(self.channels, str):
            self.channels_ = tuple(np.unique(atoms.numbers).tolist())
        else:
            self.channels_ = distinct_species(self.channels)
        self._order = None if self.channels_ is None else np.argsort(self.channels_)
        self._heights = heights_by_number(self.weights, self.channels_)
        self._check_species(atoms)
        self._shapes(atoms.lengths)
        self._require_drawable(atoms)
        return self

    def transform(self, X):
        """Draw structures.

        Parameters
        ----------
        X : sequence of structures, or path of a file of them

        Returns
        -------
        fields : ndarray of shape (n_structures, nx, ny) or (n_structures, nx, ny, n_channels), \
                or list of such arrays without the first axis
            A list if the structures differ in their number of pixels. With an axis ``nz`` where
            ``plane="xyz"``.

        Raises
        ------
        TypeError
            If `X` is not a sequence of structures, such as when it is one structure.

        ValueError
            If a structure is empty, has positions that are not finite, two atoms at one place or,
            without a slab, above one another, atoms outside of the slab or of the box along an
            axis that does not repeat, species that were not declared, or a cell that is not a
            whole number of pixels of the fitted spacing and angles.
        """
        check_is_fitted(self)
        atoms = self._gathered(X)
        warn_of_open_edges(atoms, self)
        return draw_fields(self, atoms, self._shapes(atoms.lengths))

    def position_gradients(self, X, forces=None, *, strain_gradients=None, strain_weight=0.1):
        """Say how totals change with the positions of atoms, for `EDNNRegressor.fit`.

        Parameters
        ----------
        X : sequence of structures, or path of a file of them
            As they are drawn.
        forces : sequence of array-like of shape (n_atoms, 2 or 3), default=None
            Minus the derivative of each total with respect to the positions. Along the normal of a
            plane there is nothing to learn, as the field does not depend on it: of three columns
            that one is not used.
        strain_gradients : sequence of array-like of shape (2, 2) or (3, 3), default=None
            Derivative of each total with respect to a strain of cell and atoms together: stress
            times volume, with the sign that ASE gives to a stress; a virial has the opposite one.
            None for a structure of which it is not known. Of interest where `adjust` is not 0.
        strain_weight : float, default=0.1, in 1/Å
            A derivative of 1 eV with respect to strain counts in the loss as a force of so many
            eV/Å. The one grows with the structure, the other does not.

        Returns
        -------
        list of DrawnGradient, LatticeGradient or StrainedGradient
            With ``values``, the derivatives of shape (n_atoms, 2), or (n_atoms, 3) where
            ``plane="xyz"``, NaN where no `forces` were
            given, ``pull(slope)``, which turns the derivative of a total with respect to the
            field into that with respect to the positions, and ``push(direction)``, which says how
            the field changes as the atoms move. Where the derivative with respect to strain is
            known, both in one row.

        Raises
        ------
        ValueError
            If the forces are not one row for each atom, or derivatives with respect to strain not
            a symmetric matrix for each structure.

        Examples
        --------
        The sum over a field does not change when an atom moves.

        >>> import numpy as np
        >>> from sk_ednn.atoms import GaussianRasterizer
        >>> from sk_ednn.structures import Structure
        >>> pair = Structure([5, 7], [[0.0, 0.0], [1.45, 0.0]], [12.8, 12.8])
        >>> draw = GaussianRasterizer(spacing=0.1, width=0.2).fit([pair])
        >>> (drawn,) = draw.position_gradients([pair])
        >>> bool(np.abs(drawn.pull(np.ones((1, 128, 128)))).max() < 1e-5)
        True
        """
        check_is_fitted(self)
        atoms = self._gathered(X)
        gradients = gradients_of(self, atoms, self._shapes(atoms.lengths), forces)
        if strain_gradients is None:
            return gradients
        return with_strain(gradients, strain_gradients, strain_weight, self.plane)

    def forces(self, X, slopes):
        """Return the forces on atoms.

        Parameters
        ----------
        X : sequence of structures, or path of a file of them
        slopes : sequence of ndarray of the shape of each field
            Derivatives of the totals with respect to the fields, as
            `EDNNRegressor.predict_gradient` returns them.

        Returns
        -------
        list of ndarray of shape (n_atoms, 2) or (n_atoms, 3), float64
            Minus the derivatives with respect to the positions, in the unit of the totals per Å.
        """
        drawn, slopes = self._paired(X, slopes)
        return [-gradient.pull(slope) for gradient, slope in zip(drawn, slopes, strict=True)]

    def strain_gradients(self, X, slopes):
        """Return how totals change with a strain of the cell, the number of pixels kept.

        Atoms, cell and pixels move together, ``r -> r + strain @ r``; Gaussians keep their width.
        It is what the field says of the cell's size, which is meant where `adjust` is not 0.

        Parameters
        ----------
        X : sequence of structures
        slopes : sequence of ndarray of the shape of each field
            Derivatives of the totals with respect to the fields, as
            `EDNNRegressor.predict_gradient` returns them.

        Returns
        -------
        list of ndarray of shape (2, 2), float64
            Symmetric, in the unit of the totals: stress times volume.

        Examples
        --------
        An atom fills as many pixels as its area is worth: fewer, as the pixels grow with the cell.

        >>> import numpy as np
        >>> from sk_ednn.atoms import GaussianRasterizer
        >>> from sk_ednn.structures import Structure
        >>> atom = Structure([6], [[1.0, 1.0]], [6.4, 6.4])
        >>> draw = GaussianRasterizer(spacing=0.1, width=0.2).fit([atom])
        >>> (strain,) = draw.strain_gradients([atom], [np.ones((64, 64))])
        >>> print(np.round(strain / draw.transform([atom]).sum(), 4) + 0.0)
        [[-1.  0.]
         [ 0. -1.]]
        """
        drawn, slopes = self._paired(X, slopes)
        return [gradient.strain(slope) for gradient, slope in zip(drawn, slopes, strict=True)]

    def _paired(self, X, slopes):
        drawn = self.position_gradients(X)
        if len(slopes) != len(drawn):
            raise ValueError(
                f"Expected {len(drawn)} derivatives, one a structure, got {len(slopes)}."
            )
        return drawn, [self._channels_first(slope) for slope in slopes]

    def _channels_first(self, slope):
        slope = as_array(slope, "slope", np.float64)
        if self.channels_ is None:
            return slope[None]
        return np.ascontiguousarray(np.moveaxis(slope, -1, 0))

    def _shapes(self, lengths):
        """Pixels along each axis of cells, of shape (n_structures, d)."""
        return grid_shapes(lengths, self.spacing_, self.plane, self.adjust, self.multiple)

    def _spacings(self, lengths, shapes):
        """Distances of pixels along each axis, of shape (n_structures, d)."""
        if self.adjust == 0:
            return np.broadcast_to(self.spacing_, shapes.shape)
        return lengths / shapes

    @property
    def _separable(self):
        """Whether a Gaussian is the product of one along each of two axes that repeat."""
        return len(self._cosines) == 2 and not self._cosines[0, 1] and all(self.periodic_)

    def _gathered(self, X):
        """Atoms of structures that can be drawn, but for the number of pixels."""
        atoms = gather(X, self.plane, self.slab)
        self._check_species(atoms)
        check_frames(
            atoms.vectors, atoms.periodic, self._cosines, np.array(self.periodic_), self.plane
        )
        self._require_drawable(atoms)
        return atoms

    def _require_drawable(self, atoms):
        most = np.ceil(atoms.lengths.max(axis=0) / self.spacing_)  # a cell may be strained
        require_drawable(
            len(atoms.numbers), most, self.spacing_, self.width, self.cutoff, self._separable
        )

    @property
    def _n_channels(self):
        return 1 if self.channels_ is None else len(self.channels_)

    def _channel_of(self, numbers):
        """The channel each atom is drawn in."""
        if self.channels_ is None:
            return np.zeros(len(numbers), dtype=np.intp)
        return self._order[np.searchsorted(self.channels_, numbers, sorter=self._order)]

    def _check_species(self, atoms):
        unknown = np.flatnonzero(np.isnan(self._heights[atoms.numbers]))
        if unknown.size:
            number = int(atoms.numbers[unknown[0]])
            known = [symbol(int(z)) for z in np.flatnonzero(~np.isnan(self._heights))]
            raise ValueError(
                f"Expected the species {', '.join(known)}. {atoms.place(unknown[0])}, is "
                f"{symbol(number)} (Z={number}). Give it a weight, or a channel, or fit again with "
                "structures that hold it."
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags
