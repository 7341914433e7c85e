"""Adapters to other libraries. Nothing else here needs them; each names what to install."""
