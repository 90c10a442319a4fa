"""Notifications about a session: files and HTTP calls. A failed one never ends a run."""
