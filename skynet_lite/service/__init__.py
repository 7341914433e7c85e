"""The services that come with a node. Each file is run once for each instance."""
