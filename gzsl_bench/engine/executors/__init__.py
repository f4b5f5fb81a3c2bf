"""Ways to run units: in this process, in processes of this machine, on a cluster."""
