"""Fields of atoms: Gaussians on a grid of pixels (Mills et al. 2019, eq. 2)."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.stored import stored
from ..fields._in_memory import as_array
from ..structures._cells import angles, check_frames, cosines
from ..structures._elements import symbol
from ..structures._structure import gather
from ._drawing import draw_fields, gradients_of
from ._gradients import with_strain
from ._lattice import warn_of_open_edges
from ._parameters import (
    checked_slab,
    grid_shapes,
    heights_by_number,
    require_drawable,
    spacing_per_axis,
    unique_species,
)


@stored("GaussianRasterizer")
class GaussianRasterizer(TransformerMixin, BaseEstimator):
    """Draw structures as fields, with a Gaussian at each atom.

    The field of a structure with atoms at r_a is (Mills et al. 2019, eq. 2)::

        V(r) = Σ_a Z_a exp(-|r - r_a|² / (2 width²)),        field[i, j] = V(i · sx, j · sy)

    periodic in x (axis 0) and y (axis 1), for a cell of ``(nx · sx, ny · sy)``. The end point of
    the period is not repeated. Distances are in the plane; a third coordinate is not used. The
    same equation applies to other planes, three-dimensional grids, oblique cells, whose pixels have
    the angles of the cell, and axes that are not periodic.

    Parameters
    ----------
    spacing : float or one float per axis, in Å
        Distance of neighbouring pixels, for all axes or for each. It is part of the model that is
        fitted to the fields. Cells that are not a whole number of pixels (to a relative 1e-6) are
        rejected, unless `adjust` allows to stretch pixels.

    width : float, in Å
        Standard deviation of a Gaussian. Pixels resolve a Gaussian if the width is at least the
        spacing. If it is less than about half the spacing, the sum over a field depends on the
        position of atoms relative to pixels.

    weights : "number" or mapping of species to float, default="number"
        Height of the Gaussian of each species: the atomic number Z as in the paper, or other
        numbers such as ``{"C": 1.0, "N": -1.0}``. Species are symbols or atomic numbers.

    channels : None, "species" or sequence of species, default=None
        ``None`` draws all atoms in one field. A sequence means one channel per species of it, and
        ``"species"`` one per species of the structures of `fit`, in the order of atomic numbers.

    cutoff : float, default=6.0, in widths
        Gaussians are drawn at all pixels within this distance, and at some beyond. The truncation
        error is at most ``exp(-cutoff**2 / 2)`` of the height of a Gaussian in any pixel (1.5e-8
        for the default) and ``erfc(cutoff / sqrt(2))`` of its sum over all pixels per axis (4e-9
        for two axes).

    plane : {"xy", "xz", "yz", "xyz"}, default="xy"
        The axes of the fields: a plane onto which atoms are projected, or all three. The edge
        vectors of the cell with these names must span the plane, in any direction.

    slab : pair of float or None, default=None, in Å
        Allowed range of positions along the normal of the plane; an atom outside of it is an
        error. Coordinates are not wrapped into the cell. ``None`` allows sheets, which may be
        flat, buckled or rippled, and rejects structures with atoms above one another, such as
        crystals, two layers or molecules; see Notes. With a slab, such as ``(-inf, inf)``, all
        structures in it are projected.

    adjust : float, default=0.0
        Largest relative change of `spacing` such that a cell becomes a whole number of pixels.
        Widths in Å do not change. A model must be fitted to cells of many sizes with this
        parameter, since otherwise it cannot distinguish stretched pixels from unstretched ones. The
        calculator of such a model has a stress.

    multiple : int or pair of int, default=1
        The number of pixels along an axis is a multiple of this, such as the focus of a tiling.

    dtype : {"float32", "float64"}, default="float32"
        Type of the fields. In float32 the error of a pixel is below 1e-6 of the maximum of its
        field, unless hundreds of Gaussians overlap.

    n_jobs : int or None, default=None
        Number of threads, for two dimensions with right angles. ``None`` means 1 unless in a
        `joblib.parallel_config`. Results do not depend on it, to the last bit.

    Attributes
    ----------
    spacing_ : tuple of float, in Å
        Along each axis.

    angles_ : tuple of float, in degrees
        Angles between the edges of a pixel: one in a plane, three in three dimensions, in the
        order of cell parameters. Cells with other angles are rejected.

    periodic_ : tuple of bool
        Whether structures are periodic (``pbc``) along each axis. Other structures are rejected.

    channels_ : tuple of int, or None
        Atomic number of each channel; ``None`` if there is no channel axis.

    Notes
    -----
    A structure is any object with ``numbers`` (n_atoms,), ``positions`` (n_atoms, 2 or 3) in Å,
    ``cell`` and optionally ``pbc`` (by default all axes are periodic): an `ase.Atoms`, a
    `Structure`, a `Bunch`, a dict, or a tuple of these arrays. The path of a file that ASE reads
    (extxyz, POSCAR, CIF, a trajectory) means all its structures.

    Along periodic axes, atoms outside of the cell are wrapped into it. All periodic images within
    the cutoff are drawn, for cells of any size, so a repeated cell gives a repeated field. Along
    axes that are not periodic, atoms outside of the cell are an error, and Gaussians that are
    truncated by the cell cause a warning.

    A field in a plane does not contain heights. Without a slab, structures are rejected that are
    periodic along the normal with less than 4 Å of vacuum, and those with two atoms within 3 Å in
    the plane whose connection has a slope above 0.7 (and a height above 0.5 Å), since the
    projection of such a bond is shorter by a fifth.

    The tolerance for right angles, flat cells and whole numbers of pixels is 1e-6, relative to the
    edges. Positions refer to the given edges, so that fields have no jumps within this tolerance.

    Only numbers, positions, cell and pbc are read, not charges, magnetic moments, tags, momenta or
    constraints.

    The time is linear in the number of atoms and of pixels, since only pixels near atoms are
    visited.

    References
    ----------
    Mills, Ryczko, Luchak, Domurad, Beeler, Tamblyn, "Extensive deep neural networks for
    transferring small scale learning to large scale systems", Chem. Sci. 2019, 10, 4129, eq. 2.

    Examples
    --------
    Each atom adds ``Z · 2π width² / (sx · sy)`` to the sum of a field, which is extensive.

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

    In three dimensions and for oblique cells the volume of a pixel takes the place of the area.

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
        """Check the parameters and the structures, and determine the species of channels.

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
            If `X` is not a sequence of structures, for example a single structure.

        ValueError
            If a parameter is invalid, or a structure cannot be drawn.
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
            self.channels_ = unique_species(self.channels)
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
            A list if the structures differ in their number of pixels. For ``plane="xyz"`` there
            is an axis of length ``nz``.

        Raises
        ------
        TypeError
            If `X` is not a sequence of structures, for example a single structure.

        ValueError
            If a structure is empty, has positions that are not finite, coincident atoms, atoms
            above one another (without a slab), atoms outside of the slab or of the cell along an
            axis that is not periodic, unknown species, or a cell that is not a whole number of
            pixels of the fitted spacing and angles.
        """
        check_is_fitted(self)
        atoms = self._gathered(X)
        warn_of_open_edges(atoms, self)
        return draw_fields(self, atoms, self._shapes(atoms.lengths))

    def position_gradients(self, X, forces=None, *, strain_gradients=None, strain_weight=0.1):
        """Return gradients of totals with respect to positions, for `EDNNRegressor.fit`.

        Parameters
        ----------
        X : sequence of structures, or path of a file of them
            The structures of the fields.
        forces : sequence of array-like of shape (n_atoms, 2 or 3), default=None
            Negative gradient of each total with respect to the positions. Components along the
            normal of a plane are not used, since the field does not depend on that coordinate.
        strain_gradients : sequence of array-like of shape (2, 2) or (3, 3), default=None
            Gradient of each total with respect to a strain of cell and atoms: stress times volume,
            with the sign of ASE's stress, opposite to that of a virial. None for a structure if it
            is not known. It is useful if `adjust` is not 0.
        strain_weight : float, default=0.1, in 1/Å
            Weight in the loss: a strain gradient of 1 eV counts like a force of this many eV/Å.
            Strain gradients grow with the structure, forces do not.

        Returns
        -------
        list of DrawnGradient, LatticeGradient or StrainedGradient
            Each has ``values``, the gradient of shape (n_atoms, d), NaN without `forces`;
            ``pull(gradient)``, which maps a gradient by the field to one by the positions; and
            ``push(direction)``, which returns the change of the field as the atoms move. With
            `strain_gradients`, ``values`` is one row for strain and positions.

        Raises
        ------
        ValueError
            If the forces do not have one row per atom, or the strain gradients are not one
            symmetric matrix per structure.

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

    def forces(self, X, gradients):
        """Return the forces on atoms.

        Parameters
        ----------
        X : sequence of structures, or path of a file of them
        gradients : sequence of ndarray of the shape of each field
            Gradients of the totals with respect to the fields, from
            `EDNNRegressor.predict_gradient`.

        Returns
        -------
        list of ndarray of shape (n_atoms, 2) or (n_atoms, 3), float64
            Negative gradients with respect to the positions, in the unit of the totals per Å.
        """
        drawn, gradients = self._paired(X, gradients)
        return [-d.pull(gradient) for d, gradient in zip(drawn, gradients, strict=True)]

    def strain_gradients(self, X, gradients):
        """Return gradients of totals with respect to a strain, at constant number of pixels.

        Atoms, cell and pixels are strained together, ``r -> r + strain @ r``, and the width of
        Gaussians is constant. The result is meaningful if `adjust` is not 0.

        Parameters
        ----------
        X : sequence of structures
        gradients : sequence of ndarray of the shape of each field
            Gradients of the totals with respect to the fields, from
            `EDNNRegressor.predict_gradient`.

        Returns
        -------
        list of ndarray of shape (2, 2), float64
            Symmetric, in the unit of the totals: stress times volume.

        Examples
        --------
        The sum over the field decreases as the pixels grow with the cell.

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
        drawn, gradients = self._paired(X, gradients)
        return [d.strain(gradient) for d, gradient in zip(drawn, gradients, strict=True)]

    def _paired(self, X, gradients):
        drawn = self.position_gradients(X)
        if len(gradients) != len(drawn):
            raise ValueError(
                f"Expected {len(drawn)} gradients, one per structure, got {len(gradients)}."
            )
        return drawn, [self._channels_first(gradient) for gradient in gradients]

    def _channels_first(self, gradient):
        gradient = as_array(gradient, "gradient", np.float64)
        if self.channels_ is None:
            return gradient[None]
        return np.ascontiguousarray(np.moveaxis(gradient, -1, 0))

    def _shapes(self, lengths):
        """Return the number of pixels along each axis, of shape (n_structures, d)."""
        return grid_shapes(lengths, self.spacing_, self.plane, self.adjust, self.multiple)

    def _spacings(self, lengths, shapes):
        """Return the spacing along each axis, of shape (n_structures, d)."""
        if self.adjust == 0:
            return np.broadcast_to(self.spacing_, shapes.shape)
        return lengths / shapes

    @property
    def _separable(self):
        """True if Gaussians are products of factors along two periodic, orthogonal axes."""
        return len(self._cosines) == 2 and not self._cosines[0, 1] and all(self.periodic_)

    def _gathered(self, X):
        """Return the atoms of valid structures; the number of pixels is not checked."""
        atoms = gather(X, self.plane, self.slab)
        self._check_species(atoms)
        check_frames(
            atoms.vectors, atoms.periodic, self._cosines, np.array(self.periodic_), self.plane
        )
        self._require_drawable(atoms)
        return atoms

    def _require_drawable(self, atoms):
        most = np.ceil(atoms.lengths.max(axis=0) / self.spacing_)  # cells may be strained
        require_drawable(
            len(atoms.numbers), most, self.spacing_, self.width, self.cutoff, self._separable
        )

    @property
    def _n_channels(self):
        return 1 if self.channels_ is None else len(self.channels_)

    def _channel_of(self, numbers):
        """Return the channel of each atom."""
        if self.channels_ is None:
            return np.zeros(len(numbers), dtype=np.intp)
        return self._order[np.searchsorted(self.channels_, numbers, sorter=self._order)]

    def _check_species(self, atoms):
        unknown = np.flatnonzero(np.isnan(self._heights[atoms.numbers]))
        if unknown.size:
            number = int(atoms.numbers[unknown[0]])
            symbols = [symbol(int(z)) for z in np.flatnonzero(~np.isnan(self._heights))]
            raise ValueError(
                f"Expected the species {', '.join(symbols)}, but {atoms.place(unknown[0])}, is "
                f"{symbol(number)} (Z={number}). Add it to weights or channels, or fit to "
                "structures that contain it."
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags
