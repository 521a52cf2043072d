"""The command line: a thin skin over the package."""

from .main import main as main
