"""Nothing but the call: everything about the package is said in pyproject.toml."""

from setuptools import setup

setup()
