"""The content that the deck of THEIA and Data Terra names, as data; no HTTP, no database."""
