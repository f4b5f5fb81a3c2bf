"""Processes on the nodes of a Ray cluster.

The driver, where the command was typed, hands out units and data and is the only one to write.  On
the nodes actors are hosts to the processes of units, and these are what they are on one machine.
"""
