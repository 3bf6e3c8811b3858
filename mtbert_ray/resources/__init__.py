"""What a process uses of its machine: GPU memory, utilization, energy, resident memory, CPU time."""
