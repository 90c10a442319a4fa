"""The sandbox: a local server that stands in for the Network Signals API.

``config`` says how it behaves, ``run`` starts it, ``server`` answers one request. What is
true of a number lies in ``answers``; everything that goes wrong on purpose in ``faults``,
``magic`` (per number) and ``profiles`` (per share of lookups, or for a while).
It knows nothing of the client.
"""
