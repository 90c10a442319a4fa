"""The profile of a list before it is screened: its numbers, its damage, advice on what to fix.

Knows nothing of endpoints, prices and the network. Everything that leaves this room is masked.
"""
