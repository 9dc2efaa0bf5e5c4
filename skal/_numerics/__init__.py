"""Private: fast, exact routines that selection, spaces and measures share."""
