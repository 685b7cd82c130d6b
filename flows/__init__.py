"""Story: each stage as one readable line; wiring only."""
