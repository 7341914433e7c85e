"""Libraries for services, read when needed: lualib/skynet/ and lualib/snax/ of skynet."""
