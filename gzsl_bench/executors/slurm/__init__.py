"""Units as jobs of Slurm, submitted through submitit.

What a job says and what it is told are files in the results folder, which every node sees.
"""
