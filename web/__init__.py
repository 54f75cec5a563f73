"""The edges: the HTTP API, the dashboard, the command line. `web.app:create_app` is what the ASGI server loads."""
