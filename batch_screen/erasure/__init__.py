"""Erasure: where people lie in an output folder and its state, and runs written anew without them.

Knows no warehouse and no terminal; ``commands.erase`` composes it.
"""
