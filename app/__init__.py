"""The domain: exchanges, how they are read, scored and stored. It knows no HTTP and no queue."""

__version__ = "0.1.0"
