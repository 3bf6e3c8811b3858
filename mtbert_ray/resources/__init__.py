"""What a process takes of its machine: GPU memory, utilisation, energy, resident memory, processor time."""
