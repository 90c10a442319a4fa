"""Pseudonyms for numbers: keyed ids in the place of E.164, and the vault that leads back."""
