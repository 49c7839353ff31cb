"""The results of ``fit``: errors, the verdict, the model file and the report."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from . import _config, _runs
from ._files import write_arrays
from ._report import about_fit, write_report
from ._structure_names import are_structures
from ._symmetries import POLYNOMIALS

# Training errors below this share of the test error mean that systems are too few.
_SMALLER = 0.3
# Ratio of errors of systems trained on below which these are reproduced exactly.
_EXACT_FIT = 1e-4

# Fields whose contributions a run keeps, and the size up to which it does.
_SHOWN_MAPS, _MOST_SITES = 8, 1 << 18


def measured(
    estimator, parts, options, split, places=None, atoms=None
) -> tuple[dict[str, Any], Any]:
    """Return errors of each part, and the verdict on held-out systems if there are any.

    Errors of held-out systems are kept in the model, for the intervals of `predict`.

    Parameters
    ----------
    estimator : estimator
    parts : dict of str to (fields, totals)
    options : namespace
    split : dict of str to ndarray of int
        Indices of the systems of each part among all that were read.
    places : sequence of str, default=None
        Name of each system, such as its file; None if they are fields of one array.
    atoms : sequence of int, default=None
        Number of atoms of each structure, if fields were drawn from structures.
    """
    from .._utils.steps import front_and_last
    from ..uncertainty import HeldOutErrors

    _runs.log_stage(options, "measure")
    predicted = {which: estimator.predict(part[0]) for which, part in parts.items()}
    sizes = {which: _sizes(estimator, part[0], split[which], atoms)
             for which, part in parts.items()}  # fmt: skip
    if "test" in parts:
        front_and_last(estimator)[1].held_out_ = HeldOutErrors.of(
            parts["test"][1], predicted["test"], sizes["test"]
        )
    if options.recorder is not None:
        rows = {which: (part[1], predicted[which], sizes[which]) for which, part in parts.items()}
        named, kind = None, "structure" if are_structures(options.fields) else "file"
        if places is not None:
            named = {which: [places[k] for k in some] for which, some in split.items()}
        _runs.write_predictions(options, rows, named, kind=kind, indices=split)
        _write_maps(options, estimator, parts.get("test", parts["train"])[0])
    errors = {which: errors_of(part[1], predicted[which]) for which, part in parts.items()}
    judged = "test" if "test" in parts else "train"
    judge = partial(_verdict, held_back=judged == "test")
    return errors, _per_output(judge, parts[judged][1], predicted[judged])


def _sizes(estimator, fields, some, atoms) -> list[int]:
    """Return the atoms of structures, or the sites of fields, as `predict` counts them."""
    if atoms is not None:
        return [atoms[k] for k in some]
    return [int(np.prod(sites_of(estimator, field))) for field in fields]


def next_step(result, hint, options, few_values=False) -> str | None:
    """Return what to try if the error is too large for exact totals, else None.

    Parameters
    ----------
    result : dict
        Errors and the verdict of one total.
    hint : str or None
        Option of the hint on the values that was printed.
    options : object
        Those of the fit.
    few_values : bool, default=False
        Whether sites have few different values, which were not compared as labels.
    """
    from ..metrics import EXACT, SIZEABLE

    share = result["verdict"]["over_spread"]
    if share is None or "test" not in result:
        return None
    if share < EXACT:
        if result["train"]["rmse"] > _EXACT_FIT * result["test"]["rmse"] or share < _EXACT_FIT**2:
            return None
        return (
            "the systems trained on are reproduced exactly and the others are not: there are fewer "
            "of them than unknowns of the model. With more systems the errors may vanish"
            + _or_symmetries(result, options)
        )
    if hint is not None:
        return f"if the hint above is true, add {hint}"
    if result["train"]["rmse"] < _SMALLER * result["test"]["rmse"]:
        return (
            "the errors of the systems trained on are far smaller: add systems, or try a simpler "
            "--model or less --context" + _or_symmetries(result, options)
        )
    tries = [f"more --context ({options.context} now)", "another --model"]
    if few_values and not options.categorical:
        tries.insert(0, "--categorical, with which each value has terms of its own")
    if options.angles is not None:
        tries.insert(0, f"--harmonics {options.harmonics + 1} ({options.harmonics} now)")
    what = f"try {', '.join(tries[:-1])} or {tries[-1]}"
    if share < SIZEABLE:
        return (
            "if the totals are exact, as computed energies are, they contain a term that is "
            f"missing in the model: {what}. If they were measured, this may be their noise"
        )
    return f"the errors of the systems trained on are of similar size: {what}"


def _or_symmetries(result, options) -> str:
    """Return the option that makes unknowns fewer, if the model may have it and does not."""
    equal = all("," not in str(lengths) for lengths in (options.focus, options.context))
    if options.symmetries is not None or result.get("model") not in POLYNOMIALS or not equal:
        return ""
    return (
        "; or add --symmetries reflect,rotate, if totals do not depend on how the lattice is turned"
    )


def _write_maps(options, estimator, X) -> None:
    """Write ``contributions.npz``: some fields, and what their tiles contribute."""
    from .._utils.steps import front_and_last

    fields = [X[k] for k in range(min(len(X), _SHOWN_MAPS))]
    if not hasattr(front_and_last(estimator)[1], "predict_contributions"):
        return
    if not all(isinstance(field, np.ndarray) and field.size <= _MOST_SITES for field in fields):
        return  # too large to be drawn, or no arrays
    maps = contributions_of(estimator, fields)
    if isinstance(maps, dict):  # of several terms
        return
    arrays = {f"contributions_{k}": np.asarray(values) for k, values in enumerate(maps)}
    arrays |= {f"field_{k}": field for k, field in enumerate(fields)}
    write_arrays(options.recorder.path("contributions.npz"), arrays)


def contributions_of(estimator, X):
    """Return the contributions of tiles, after the transformers of a Pipeline."""
    if hasattr(estimator, "steps"):
        return contributions_of(estimator.steps[-1][1], estimator[:-1].transform(X))
    return estimator.predict_contributions(X)


def sites_of(estimator, field) -> tuple[int, ...]:
    """Return the shape of a field without its channels."""
    from .._utils.steps import front_and_last

    shape = np.shape(field)
    front, regressor = front_and_last(estimator)
    if front:  # what is encoded has no channels
        return shape
    axis = regressor.tiling.channel_axis
    return shape if axis is None else tuple(np.delete(shape, axis))


def errors_of(true, predicted):
    """Return the errors of totals by name, or a list of such for several outputs."""
    from ..metrics import extensive_errors

    return _per_output(lambda *totals: extensive_errors(*totals).as_dict(), true, predicted)


def _per_output(function, true, predicted):
    """Return the result of a function of totals, or a list for several outputs."""
    if true.ndim == 1:
        return function(true, predicted)
    return [function(*column) for column in zip(true.T, predicted.T, strict=True)]


def _verdict(true, predicted, held_back) -> dict[str, Any]:
    from ..metrics import judge

    # All fields of a file have one size, so no count of sites is needed.
    return judge(true, predicted, held_back=held_back).as_dict()


def write_files(ctx, options, model, estimator, parts, result, seconds) -> None:
    """Write all requested files, and add their names to `result`."""
    about = {
        "made by": "sk-ednn fit",
        "errors of totals": {which: result[which] for which in parts},
        "verdict": result["verdict"],
        **{key: result[key] for key in ("interrupted", "couplings") if key in result},
        # Of structures, whose atoms `relax` and `md` move by the forces.
        **({"forces learned": bool(options.forces)} if "plane" in result else {}),
    }
    from .. import files as model_files

    result["sha256"] = model_files.save(model, options.output, unit=options.unit, about=about)
    if options.report is not None:
        about = about_fit(ctx, options, result, seconds)
        write_report(options.report, estimator, parts, options.unit, about)
        result["report"] = str(options.report)
    _config.write(ctx, options.save_config)
