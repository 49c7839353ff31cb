"""Fits of potentials on the command line, for structures with forces."""

from __future__ import annotations

import time
import warnings
from typing import Any

from ..exceptions import DataWarning
from . import _runs
from ._confidence import about_structures
from ._errors import Interrupts
from ._paths import may_replace
from ._potential_data import (
    check_test,
    groups_by,
    note_near,
    placed_warnings,
    split_line,
    split_of,
    thin_line,
)
from ._potential_estimator import potential_of
from ._potential_files import write, write_predictions
from ._potential_options import require_no_jobs


def run(ctx, options, read, say) -> dict[str, Any]:
    """Fit a potential, measure errors on held-out structures, and write it.

    Parameters
    ----------
    ctx : typer.Context
    options : namespace
        The parameters of the command, by name.
    read : Read
    say : function

    Returns
    -------
    dict
        The output of ``--json``.
    """
    from ..atoms._potential_committee import checkpoint_of
    from ..atoms._potential_verdict import judged
    from ..atoms._structure_errors import measured
    from ..structures._files import naming

    if options.unit not in (None, "eV"):
        raise ValueError(
            f"--unit {options.unit}: potentials learn energies in eV, which their files state. "
            "Leave --unit out, or pass --images for a model of totals in any unit."
        )
    require_no_jobs(options)
    replaced = may_replace("--output", options.output, options.force)
    potential = potential_of(options)
    groups = None if options.group is None else groups_by(read, options.group)
    key = options.errors_by or options.group
    shown_by = groups if key == options.group else groups_by(read, key)
    parts = split_of(len(read.structures), groups, options)
    taken = {which: [read.structures[k] for k in some] for which, some in parts.items()}
    of_parts = {which: [read.places[k] for k in some] for which, some in parts.items()}
    say(split_line(parts, groups, options.group))
    thin = thin_line(taken["train"], potential.cutoff)
    if thin:
        say(thin)
    places = of_parts["train"]
    if "test" in parts:
        # Before the training, which an error would cost.
        check_test(taken, of_parts, potential.labels)
        note_near(taken, of_parts, options.group)
    _runs.log_stage(options, "fit")
    start, start_of_processor = time.perf_counter(), time.process_time()
    with placed_warnings(places):
        first = checkpoint_of(options.checkpoint, 0, potential.n_members)
        bounded = potential.trainer.max_seconds is not None
        with (
            Interrupts(first).watched() as interrupts,
            naming(places),
            _runs.kept_clock(options, bounded),
        ):
            potential.fit(taken["train"], groups=None if groups is None else groups[parts["train"]])
            if options.recorder is not None:
                options.recorder.finishing()
    seconds = time.perf_counter() - start
    processor_seconds = time.process_time() - start_of_processor
    kept = None
    if interrupts.seen:
        if not hasattr(potential, "potential_"):
            interrupts.end()
        done = f"interrupted after {len(potential.history_)} epochs"
        kept = interrupts.keep(done, "Keep the network as it is?", options)
    n_compared = 0 if potential.novelty_ is None else len(taken.get("test", ()))
    say(measuring_line(sum(map(len, taken.values())), n_compared))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # printed before
        known = {
            which: measured(
                potential, some, places=of_parts[which],
                novelty=which == "test" or options.errors is not None,
            )
            for which, some in taken.items()
        }  # fmt: skip
    if "test" in known:
        potential._keep_held_out(known["test"])
    found = judged(potential, known["train"], known.get("test"))
    result: dict[str, Any] = {
        "model": potential.model,
        "strategy": "PotentialTrainer",
        **({} if kept is None else {"interrupted": kept}),
        "n_train": len(taken["train"]),
        "n_test": len(taken.get("test", ())),
        "epochs": len(potential.history_),
        "seconds": round(seconds, 3),
        "processor_seconds": round(processor_seconds, 3),
        "labels": potential.labels_,
        "output": str(options.output),
        **found.errors,
        "spreads": found.spreads,
        "verdict": found.verdict,
    }
    result |= {} if found.step is None else {"next": found.step}
    result |= {"by_novelty": found.by_novelty} if found.by_novelty else {}
    if "test" in known:
        result["interval"] = about_structures(
            potential.held_out_, potential.std_factors.get("energy")
        )
    by_part = None
    if shown_by is not None:
        by_part = {which: shown_by[some] for which, some in parts.items()}
    if by_part is not None:
        shown = "test" if "test" in known else "train"
        result["groups"] = groups_as_dict(known[shown], by_part[shown], key)
    _runs.forget(options, potential, potential.trainer)
    _runs.log_stage(options, "measure")
    if thin:
        result["thin_cells"] = thin
    write(ctx, options, potential, taken, known, by_part, key, result)
    write_predictions(options, known, parts)
    _runs.keep_results(options, result, stopped=kept)
    result["replaced"] = replaced
    return result


def measuring_line(n, n_compared) -> str:
    """Return what is done after the training, which takes a while without any other line.

    Parameters
    ----------
    n, n_compared : int
        Numbers of structures, and of those held out whose novelty is measured.

    Examples
    --------
    >>> from sk_ednn.cli._potential_fit import measuring_line
    >>> measuring_line(100, 20)
    'measuring errors of 100 structures, and the novelty of the 20 held out'
    >>> measuring_line(1, 0)
    'measuring errors of 1 structure'
    """
    text = f"measuring errors of {n:,} structure{'s' * (n != 1)}"
    return text + (f", and the novelty of the {n_compared:,} held out" if n_compared else "")


def groups_as_dict(part, groups, key, chosen=None) -> dict[str, Any]:
    """Return the errors of groups of structures, in the form of ``--json``.

    Parameters
    ----------
    part : Measured
    groups : ndarray of str
    key : str
        The option ``--errors-by``, or ``--group``.
    chosen : ndarray of bool of shape (n_structures,), default=None
        Structures that count, such as those that were not learned from; None for all.
    """
    by_group = part.by_group(groups, chosen)
    rows = [{"name": name, "structures": n, **errors} for name, n, errors in by_group]
    left_out = 0 if chosen is None else int((~chosen).sum())
    return {"by": key, "errors": rows, **({"left_out": left_out} if left_out else {})}
