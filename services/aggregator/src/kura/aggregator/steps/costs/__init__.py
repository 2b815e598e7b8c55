"""The steps of the cost pipeline: rates on usage, then the distribution of what belongs to no project."""
