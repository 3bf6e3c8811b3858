"""Search spaces, searchers and the sweep: what to try next, on top of Ray Tune."""
