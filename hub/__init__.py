"""The service both sides dial: links, broker, relay, registry, store and pages. Never imports connector."""
