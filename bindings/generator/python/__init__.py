"""Writes the generated part of the Python package: _abi.py (what C has) and _api.py (what Python makes of it)."""
