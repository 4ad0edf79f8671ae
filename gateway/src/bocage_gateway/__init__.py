"""The one public door of Bocage: identity exchange, forwarder, OpenAPI document, landing page."""
