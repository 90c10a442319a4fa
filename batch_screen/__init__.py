"""batch-screen: screens whole customer bases against a mobile network's fraud signals."""

from batch_screen.version import __version__

__all__ = ["__version__"]
