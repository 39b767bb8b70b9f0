"""`power`: what a study could show, before anybody scans a slide."""

from hage_transfer.compare.power import Power, power

__all__ = ["Power", "power"]
