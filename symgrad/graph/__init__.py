"""The Graph: the hash-consed intermediate representation; lowering to it, lifting from it."""
