"""What the command line needs beyond the package: reading tables, its options, a page to hand on."""
