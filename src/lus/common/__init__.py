"""What every room uses: parameters, errors, worker processes, progress, hashing."""
