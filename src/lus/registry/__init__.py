"""The registry: versions, the gate before production, promotion, and the journal of who moved what."""
