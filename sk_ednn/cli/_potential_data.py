"""The structures of a fit of a potential: those learned from, and those held out."""

from __future__ import annotations

import warnings
from contextlib import contextmanager

from ..exceptions import DataWarning, TileModelError

# Groups, and pairs of nearly equal structures, that are named in a line.
_GROUPS, _PAIRS = 12, 3


def groups_by(read, key):
    """Return the group of each structure, by ``--group`` or ``--errors-by``.

    Parameters
    ----------
    read : Read
    key : str
        An entry of all structures, a column of the table of their energies, or what `groups_of`
        takes; in this order.
    """
    import numpy as np

    from ..atoms._structure_groups import groups_of

    if key in read.columns and not all(key in each.info for each in read.structures):
        return np.array(read.columns[key])
    return groups_of(read.structures, read.places, key, columns=tuple(read.columns))


def split_of(n, groups, options) -> dict:
    """Return the sorted indices of "train", and of "test" if structures are held out."""
    import numpy as np

    rng = np.random.default_rng(options.seed)
    if groups is None:
        order = rng.permutation(n)
        test, train = np.split(order, [round(options.test_fraction * n)])
        train, test = np.sort(train), np.sort(test)
    else:
        from .._utils.holding_out import hold_out

        train, test = hold_out(groups, options.test_fraction, rng)
    return {"train": train} | ({"test": test} if len(test) else {})


def split_line(parts, groups, key) -> str:
    """Return a line that says how many structures are held out."""
    n_train, n_test = (len(parts.get(which, ())) for which in ("train", "test"))
    if not n_test:
        return f"{n_train} structures, all of them to learn from"
    text = (
        f"{n_train + n_test} structures: {n_train} to learn from, {n_test} held out for the rows "
        "'test' of the table (--test-fraction 0 learns from all)"
    )
    if groups is None:
        return text
    names = sorted(set(groups[parts["test"]].tolist()))
    shown = ", ".join(names[:_GROUPS]) + (", ..." if len(names) > _GROUPS else "")
    return f"{text}; whole groups by {key}: {shown}"


def thin_line(structures, cutoff) -> str:
    """Return a line if all periodic cells are thinner than twice the cutoff; else nothing.

    Parameters
    ----------
    structures : list of ase.Atoms
    cutoff : float, in Å

    Examples
    --------
    >>> from ase.build import bulk
    >>> from sk_ednn.cli._potential_data import thin_line
    >>> print(thin_line([bulk("Cu", cubic=True)], 6.0))
    cells are up to 3.61 Å wide where they are narrowest, less than twice the cutoff of 6 Å, so that
    surroundings contain images of the same atoms: add a few wider cells if you want to predict
    larger ones, of which intervals are doubled until then
    >>> thin_line([bulk("Cu", cubic=True), bulk("Cu", cubic=True) * 4], 6.0)
    ''
    """
    import numpy as np

    from .._utils.wording import plain
    from ..structures import Structures

    widths = Structures.of(structures).widths
    narrowest = widths[np.isfinite(widths)]
    if not len(narrowest) or narrowest.max() >= 2 * cutoff:
        return ""
    return (
        f"cells are up to {plain(narrowest.max(), 3)} Å wide where they are narrowest, less than "
        f"twice the cutoff of {plain(cutoff, 3)} Å, so that surroundings contain images of the "
        "same atoms: add a few wider cells if you want to predict larger ones, of which intervals "
        "are doubled until then"
    )


@contextmanager
def placed_warnings(places):
    """Add the file to warnings that name a structure by its index among some."""
    from ..structures._files import with_place

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        plain = warnings.showwarning

        def show(message, category, *rest, **more):
            plain(category(with_place(str(message), places)), category, *rest, **more)

        warnings.showwarning = show
        yield


def check_test(taken, places, labels) -> None:
    """Warn of labels that the structures for testing lack, or that seem to be wrong.

    Parameters
    ----------
    taken : dict of str to list of ase.Atoms
        Structures of "train" and "test".
    places : dict of str to list of str
    labels : dict or None
        Parameter of `EDNNPotential`.

    Raises
    ------
    TileModelError
        If they have none.
    """
    from ..atoms._potential_checks import data_notes, notes_of_held_out
    from ..atoms._potential_data import labelled
    from ..structures._files import naming

    def read(*which):
        with naming([place for each in which for place in places[each]]):
            structures = [one for each in which for one in taken[each]]
            return labelled(structures, None, None, None, labels)

    try:
        test = read("test")
    except TileModelError as error:
        raise TileModelError(
            f"Structures held out for testing: {error} Use --test-fraction 0 to fit without them."
        ) from error
    try:
        learned, together = read("train"), read("test", "train")
        doubts = notes_of_held_out(test, learned, together)
    except ValueError:
        doubts = data_notes(test)  # the fit rejects the others
    with placed_warnings(places["test"] + places["train"]):
        for note in [*test.notes, *doubts]:
            warnings.warn(f"Structures held out for testing: {note}", DataWarning, stacklevel=2)


def note_near(taken, places, key) -> None:
    """Say if structures held out are nearly equal to some that are learned from, and which."""
    from ..atoms._near_duplicates import NEAR, near_duplicates
    from ._wanted import note

    pairs, compared = near_duplicates(taken["test"], taken["train"])
    if not pairs:
        return
    group = "to --group" if key is None else f"to --group instead of {key}"
    named = "; ".join(f"{places['test'][k]} and {places['train'][j]}" for k, j in pairs[:_PAIRS])
    more = "; ..." if len(pairs) > _PAIRS else ""
    note(
        f"{len(pairs)} of {compared} structures held out are within {NEAR} Å of one to learn from, "
        "so the errors of 'test' may be too small for new ones. To hold related ones out together, "
        "give them the same value in an entry of info or in a column of the table of energies, and "
        f"pass its name {group}. "
        f"Such pairs: {named}{more}"
    )
