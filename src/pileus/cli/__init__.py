"""The command line: thin faces over `pileus.api`. Data on stdout, progress and errors on stderr."""

from pileus.cli.boundary import main

__all__ = ["main"]
