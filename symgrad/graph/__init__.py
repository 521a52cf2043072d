"""The Graph, the hash-consed intermediate representation, and the ways in and out of it."""
