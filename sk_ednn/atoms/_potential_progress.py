"""Epochs of a potential's training, printed while it lasts."""

from __future__ import annotations

import sys

from .._utils.wording import about

# Epochs that are printed in any case, and the relative increase of the time between later ones.
_N_FIRST, _INTERVAL = 3, 0.1
_SHOWN = {
    "held out: meV/atom": "valid_energy_mae", "meV/Å": "valid_force_mae",
    "GPa": "valid_stress_mae",
}  # fmt: skip


class Progress:
    """Print some epochs, then call the callback of the trainer.

    The first epochs are printed, and later ones if a tenth of the time has passed since the last.

    Parameters
    ----------
    callback : callable or None
    max_epochs : int, default=None
    max_seconds : float, default=None
        Limits of each member, which are printed too.
    n_members : int, default=1
    clock : {"wall", "processor"}, default="wall"
        Of the trainer.
    """

    def __init__(self, callback, max_epochs=None, max_seconds=None, n_members=1, clock="wall"):
        self.callback, self.max_epochs, self.max_seconds = callback, max_epochs, max_seconds
        self.n_members, self.clock = n_members, clock
        self._member, self._seconds = None, 0.0

    def __call__(self, record):
        if self._is_due(record):
            self._print(record)
        return None if self.callback is None else self.callback(record)

    def _is_due(self, record) -> bool:
        member, seconds = record.get("member"), record["seconds"]
        if member != self._member:
            self._member, self._seconds = member, 0.0
        if record["epoch"] > _N_FIRST and seconds < (1 + _INTERVAL) * self._seconds:
            return False
        self._seconds = seconds
        return True

    def _print(self, record):
        shown = {
            "loss": record["loss"],
            **{name: record[key] for name, key in _SHOWN.items() if key in record},
        }
        text = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        member = f"member {record['member']}, " if "member" in record else ""
        epochs, seconds = (
            "" if limit is None else f" of {limit:.6g}"
            for limit in (self.max_epochs, self.max_seconds)
        )
        left = self._left(record)
        left = "" if left is None else f", {about(left)} left"
        processor = " of the processor" if self.clock == "processor" else ""
        print(
            f"{member}epoch {record['epoch']}{epochs}, {record['seconds']:.0f}{seconds} s"
            f"{processor}{left}: {text}",
            file=sys.stderr,
        )

    def _left(self, record):
        """Return the seconds until the last member ends; None if there is no limit."""
        seconds, per_epoch = record["seconds"], record["seconds"] / record["epoch"]
        whole = min(
            (
                limit
                for limit in (
                    self.max_seconds,
                    None if self.max_epochs is None else per_epoch * self.max_epochs,
                )
                if limit is not None
            ),
            default=None,
        )
        if whole is None:
            return None
        return max(0.0, whole - seconds) + whole * (self.n_members - record.get("member", 1))
