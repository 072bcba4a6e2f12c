"""Pileus: OpenStack on rented cloud machines, with addresses that the cloud below accepts."""

__version__ = "0.1.0"
