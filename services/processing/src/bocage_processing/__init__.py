"""OGC API - Processes of Bocage: jobs, dispatcher, executors, runner."""
