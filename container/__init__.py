"""The container: `python -m container.build`, then `python -m container.smoke` and `python -m container.sbom`."""
