"""Ray Serve, and nothing but: how the parts of `serve_app` are replicated, batched and scaled."""
