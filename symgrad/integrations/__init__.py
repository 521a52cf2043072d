"""Bridges to other packages; each is optional and imported when used."""
