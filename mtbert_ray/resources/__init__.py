"""What a process takes of its machine: GPU memory, utilization, energy, resident memory, CPU time."""
