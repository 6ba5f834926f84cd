"""Cases for each error and warning, a module a room."""
