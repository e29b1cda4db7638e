"""Damaged clips in thousands: what must never happen is that one of them harms the process that looks at it."""
