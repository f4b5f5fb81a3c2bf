"""Methods that are no plugins: their tasks as plain arrays, their predictions as records."""
