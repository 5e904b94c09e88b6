"""The version of the installed package, which `setup.cfg` says."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("dataplatform")
