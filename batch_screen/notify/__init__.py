"""What programs outside learn of a start: files and calls. None of it can end a run."""
