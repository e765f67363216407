"""The only folder that imports mpi4py: transports, the world of ranks, starting ranks, the library's own counters."""
