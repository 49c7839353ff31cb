"""What a model says of how far to trust it for the structures that a simulation ends with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._utils.wording import digits_of
from ._confidence import LEVEL, basis, within
from ._predicted_structures import (
    PredictedStructures,
    counted,
    novelty_line,
    predicted_by,
    sized,
)
from ._widths_of_intervals import why_wider


class Trust(NamedTuple):
    """Prediction for one structure.

    Attributes
    ----------
    found : PredictedStructures
        Of this structure alone.
    """

    found: PredictedStructures

    def line(self) -> str:
        """Return energy, interval and unlike atoms, as `predict` prints them."""
        energy, widths = float(self.found.energies[0]), self.found.half_width
        width = None if widths is None else float(widths[0])
        text = f"{digits_of(energy, width, energy)} eV  ({self.found.line(0, 'eV', width)})"
        if widths is not None:
            text += f"  {within(widths, [energy], ' eV', self.found.sizes[0])}"
        return text

    def as_dict(self) -> dict[str, Any]:
        """Return what is known besides the energy, by the names of ``predict --json``."""
        columns = self.found.columns()
        del columns["atoms"], columns["per_atom"]
        if self.found.half_width is not None:
            columns["half_width"] = self.found.half_width
        return {name: values[0].item() for name, values in columns.items()}


def trust_for(model, structure) -> Trust:
    """Predict a structure with a potential or a model of images.

    Parameters
    ----------
    model : EDNNPotential or Pipeline
    structure : ase.Atoms
    """
    from ..uncertainty._intervals import half_width_of, held_out_of

    if hasattr(model, "predict_all"):
        return Trust(predicted_by(model, [structure]))
    found, held_out = sized(model.predict([structure]), [structure]), held_out_of(model)
    if held_out is not None and held_out.suffices(LEVEL):
        found = found._replace(half_width=half_width_of(model, [structure], held_out, LEVEL)[:, 0])
    return Trust(found)


def _joined(found) -> PredictedStructures:
    """Return the intervals of all structures as one prediction."""
    widening = None
    if all(each.widening is not None for each in found):
        names = found[0].widening
        widening = {k: np.concatenate([each.widening[k] for each in found]) for k in names}
    return PredictedStructures(
        np.concatenate([each.energies for each in found]),
        np.concatenate([each.sizes for each in found]),
        half_width=np.concatenate([each.half_width for each in found]),
        widening=widening,
    )


def on_what(model, trusts) -> list[str]:
    """Return on what intervals rest, or why there are none, and how many atoms are unlike the fit.

    Parameters
    ----------
    model : EDNNPotential or Pipeline
    trusts : sequence of Trust
    """
    from ..uncertainty._intervals import held_out_of

    found = [each.found for each in trusts]
    known = all(each.half_width is not None for each in found)
    largest = max(int(each.sizes.max()) for each in found) if known else None
    widths = [each.widths for each in found if known and each.widths is not None]
    of_all = np.concatenate(widths) if widths else None
    held_out = held_out_of(model)
    words = basis(held_out, "structure", largest, of_all)
    why = why_wider(held_out, _joined(found)) if known else None
    lines = [f"{words}. {why[0].upper()}{why[1:]}" if why else words]
    novelties = [atoms for each in found for atoms in each.novelty or ()]
    return lines + ([novelty_line(counted(novelties))] if novelties else [])
