"""Files of maps that ``count predict`` writes: maps, overlays and peaks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .._utils.wording import plain
from ._paths import may_replace


class Maps:
    """Write the maps of pictures into a folder.

    Overlays have one scale of colours for each total: those that were drawn before a stronger
    contribution came are drawn again at the end.

    Parameters
    ----------
    folder : Path
    pictures : list of Picture
    columns : list of str
        Names of the totals.
    model : CountRegressor
    """

    def __init__(self, folder, pictures, columns, model):
        from ..images._geometry import Geometry
        from ..images._map_names import map_names

        self.folder, self.pictures, self.model = Path(folder), pictures, model
        self.focus = Geometry(*model.geometry_).focus
        self.endings = [f" {name}" for name in columns] if len(columns) > 1 else [""]
        self.names = map_names(picture.name for picture in pictures)
        # The strongest colour of each total so far, and that of each overlay.
        self.full, self.drawn_with = [0.0] * len(self.endings), {}

    def files_of(self, picture) -> list[Path]:
        """Return the files of a picture: the map, and for each total its overlay and peaks."""
        stem = self.names[picture.name]
        if picture.by_region:
            return [self.folder / f"{stem}.ome.zarr"]
        kinds = [f"{end}{kind}" for end in self.endings for kind in (" overlay.png", " peaks.csv")]
        return [self.folder / f"{stem}{kind}" for kind in (".tif", *kinds)]

    def prepare(self, force) -> None:
        """Make the folder.

        Raises
        ------
        ValueError, FileExistsError
            If there are such files already, and `force` is False, or something else than maps.
        """
        from ..images._zarr import require_map_or_nothing

        written = [path for picture in self.pictures for path in self.files_of(picture)]
        for path in written:
            if path.suffix == ".zarr":
                require_map_or_nothing(path)
        old = next((path for path in written if path.exists()), None)
        if old is not None:
            may_replace("--maps", old, force)
        self.folder.mkdir(parents=True, exist_ok=True)

    def keep(self, picture, contributions) -> None:
        """Write the files of a picture."""
        from ..images._output import write_map, write_peaks
        from ..images._overlay import full_colour, write_overlay

        goal, *others = self.files_of(picture)
        write_map(goal, contributions, self.focus, picture.pixel_size)
        several = contributions.ndim > len(self.focus)
        for k in range(len(self.endings)):
            of_output = contributions[..., k] if several else contributions
            self.full[k] = max(self.full[k], full_colour(of_output))
            title = self.title_of(picture, k, of_output)
            write_overlay(others[2 * k], picture, of_output, self.focus, self.full[k], title)
            self.drawn_with[picture.name, k] = self.full[k]
            write_peaks(others[2 * k + 1], of_output, self.focus)

    def draw_again(self) -> None:
        """Draw overlays with the colours of those that came later."""
        from ..images._overlay import write_overlay

        for picture in self.pictures:
            _, *others = self.files_of(picture)
            for k, full in enumerate(self.full):
                of_picture = None
                if self.drawn_with.get((picture.name, k), full) != full:
                    of_picture = self.map_of(picture)
                if of_picture is not None:
                    of_output = of_picture[..., k]
                    title = self.title_of(picture, k, of_output)
                    write_overlay(others[2 * k], picture, of_output, self.focus, full, title)

    def title_of(self, picture, k, contributions) -> str:
        """Return the name of a picture and of a total, and its value: the sum of the map."""
        return f"{picture.name}{self.endings[k]}: {plain(float(contributions.sum()), 3)}"

    def by_region(self, picture):
        """Return the writer of the map of a picture that is read by regions; None for others."""
        from ..images._zarr import MapWriter

        if not picture.by_region:
            return None
        grid = self.model.estimators_[0].tiling_.tile_grid(picture.shape)
        (path,) = self.files_of(picture)
        n_outputs, size = self.model.n_outputs_, picture.pixel_size
        return MapWriter(path, picture.name, grid, self.focus, n_outputs, size)

    def map_of(self, picture) -> np.ndarray | None:
        """Return the map that was written, (*tile_grid, n_outputs); None if it was by regions."""
        from ..images._output import read_map

        if picture.by_region:
            return None
        saved = read_map(self.files_of(picture)[0])
        if saved is None:  # replaced by another file since
            return None
        values, _ = saved
        return np.moveaxis(values, 0, -1) if len(self.endings) > 1 else values[..., None]

    def overlay_of(self, page, picture, k) -> str:
        """Return the path of the overlay of a picture and a total, relative to a page."""
        _, *others = self.files_of(picture)
        return os.path.relpath(others[2 * k], Path(page).parent).replace(os.sep, "/")
