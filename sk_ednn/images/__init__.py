"""Pictures: counts and amounts in photographs of any size, learned from totals alone."""

from ._arrays import as_picture
from ._boxes import Box, boxes_of_dots
from ._checks import PictureError
from ._count import CountRegressor
from ._labels import read_boxes, read_dots
from ._peaks import peaks
from ._picture import Picture
from ._readers import read_pictures
from ._skimage import LocalFeatures
from ._tables import TableError
from ._totals import Matched, match_totals

__all__ = [
    "Box",
    "CountRegressor",
    "LocalFeatures",
    "Matched",
    "Picture",
    "PictureError",
    "TableError",
    "as_picture",
    "boxes_of_dots",
    "match_totals",
    "peaks",
    "read_boxes",
    "read_dots",
    "read_pictures",
]
