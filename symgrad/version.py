"""The version of the package, stated once in its metadata."""

from __future__ import annotations

from importlib import metadata

__all__ = ["version"]


def version() -> str:
    """Return the version of symgrad; "unknown" in a checkout that is not installed."""
    try:
        return metadata.version("symgrad")
    except metadata.PackageNotFoundError:
        return "unknown"
