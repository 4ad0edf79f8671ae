"""For drills and tests: processes that misbehave on purpose, and what the platform must hold whatever happens."""
