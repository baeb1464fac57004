"""The library behind the command-line programs in `scripts/`. It knows nothing of Snakemake."""
