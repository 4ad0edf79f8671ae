"""What Bocage's services share: identity, problems, database, public URLs, logs, object store."""
