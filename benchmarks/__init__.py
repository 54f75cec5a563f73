"""How fast is it here? `make bench` prints a table and writes it as JSON. Figures are never asserted."""
