"""Normalisation of raw cells to E.164 or a reject; the only home of libphonenumber."""
