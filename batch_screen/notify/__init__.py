"""What a start of a run tells programs outside: files and calls. None of it can end a run."""
