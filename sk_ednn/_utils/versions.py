"""Versions of Python, this package and other libraries, as they are installed."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

PACKAGE = "sk-ednn"


def installed_version(name) -> str | None:
    """Return the version of an installed distribution, or None.

    Examples
    --------
    >>> from sk_ednn._utils.versions import installed_version
    >>> installed_version("a-library-that-nobody-wrote") is None
    True
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def package_version() -> str:
    """Return the version of this package, "unknown" where its metadata are missing."""
    return installed_version(PACKAGE) or "unknown"


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, this package, and those libraries that are installed.

    Parameters
    ----------
    names : iterable of str
        Names of distributions, such as ``"scikit-learn"``.
    """
    versions = {"python": platform.python_version(), PACKAGE: package_version()}
    for name in names:
        installed = installed_version(name)
        if installed is not None:
            versions[name] = installed
    return versions
