"""ClearSeek: a reasoning chatbot with open books."""

__version__ = "0.1.0"
